"""The decorator of functions whose gradient is written by hand."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

import jax

Result = TypeVar("Result")


def custom_vjp(
    *static: str,
) -> Callable[[Callable[..., Result]], jax.custom_vjp[Result]]:
    """``jax.custom_vjp`` with the names of its static arguments, for type checkers."""
    return cast(Any, partial(jax.custom_vjp, nondiff_argnames=static))


def vary_alike(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """The same values, as ``custom_vjp`` wants them inside of ``jax.shard_map``.

    There an array may differ between devices along some mesh axes (a batch) or be the
    same on all (a kernel), and a gradient has to be of its argument's kind. Marking
    all arguments as different on the axes of any makes the gradients alike; JAX sums
    them over the devices where it takes the mark back. Elsewhere nothing happens.
    """
    varying = [jax.typeof(array).manual_axis_type.varying for array in arrays]
    axes = frozenset().union(*varying)
    return tuple(
        jax.lax.pcast(array, tuple(axes - names), to="varying")
        for array, names in zip(arrays, varying, strict=True)
    )
