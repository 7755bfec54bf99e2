"""Calls of the library's handlers, inside of any transformation of JAX."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from cnnjax.native import library
from cnnjax.typing import Window


def call_target(
    target: str,
    results: Any,
    vmap_method: str,
    arrays: Sequence[jax.Array],
    attributes: Mapping[str, Any],
    aliases: Mapping[int, int] | None = None,
) -> Any:
    """Calls a handler.

    Args:
        target: its registered name.
        results: the shapes of what it returns.
        vmap_method: see ``jax.ffi.ffi_call``.
        arrays: its operands.
        attributes: whole numbers, rows of them, and numbers of NumPy's floats.
        aliases: which operand's memory which result may take.
    """
    library.status()  # the first call registers what is called here
    function = jax.ffi.ffi_call(
        target,
        results,
        vmap_method=vmap_method,
        input_output_aliases=dict(aliases or {}),
    )
    return function(*arrays, **{key: _number(v) for key, v in attributes.items()})


def _number(value):
    return value if isinstance(value, np.floating) else np.array(value, np.int64)[()]


def positions(
    sizes: tuple[int, ...], taps: tuple[int, ...], window: Window
) -> tuple[int, ...]:
    """How many positions the window has on each axis of an image of ``sizes``."""
    rows = sizes, taps, *window[:4]
    return tuple(
        ((n - 1) * spread + low + high - (k - 1) * d) // s + 1
        for n, k, s, (low, high), d, spread in zip(*rows, strict=True)
    )


def window_numbers(window: Window) -> dict[str, tuple[int, ...]]:
    """The window's numbers by the names that the handlers have for them."""
    low, high = zip(*window.padding, strict=True)
    return {
        "strides": window.strides,
        "dilation": window.dilation,
        "low": low,
        "high": high,
    }


def result(shape: tuple[int, ...], like: jax.Array, dtype: Any = None) -> Any:
    """An array that differs between the devices of a mesh where ``like`` does."""
    kind: Any = jax.typeof(like)
    whole = NamedSharding(kind.sharding.mesh, PartitionSpec(*[None] * len(shape)))
    return jax.ShapeDtypeStruct(
        shape,
        dtype or kind.dtype,
        sharding=whole,
        manual_axis_type=kind.manual_axis_type,
    )
