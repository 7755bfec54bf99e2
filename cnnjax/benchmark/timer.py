"""Timers of compiled functions."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax


def seconds_of(function: Callable[..., Any], *arguments: Any) -> float:
    """Seconds from the call of ``function`` until its result is ready."""
    begin = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - begin


def time_in_turns(
    functions: Sequence[Callable[..., Any]], *arguments: Any, rounds: int
) -> list[list[float]]:
    """Seconds of each function in each round, one call of every function a round.

    Taking turns lets slow moments of the machine hit all functions alike. A round that
    does not count comes first, since it compiles.

    Args:
        functions: called with ``arguments``.
        arguments: of every function.
        rounds: how many are timed.

    Returns:
        For each function, ``rounds`` values.
    """
    times = [[seconds_of(f, *arguments) for f in functions] for _ in range(rounds + 1)]
    return [list(column) for column in zip(*times[1:], strict=True)]
