"""Calls of the library's handlers, inside of any transformation of JAX."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from cnnjax.onednn import library
from cnnjax.typing import Window


def call_target(
    target: str,
    results: Any,
    vmap_method: str,
    *arrays: Any,
    aliases: Mapping[int, int] | None = None,
    **rows: Any,
) -> Any:
    """Calls a handler with numbers, or rows of whole ones, for its attributes.

    Args:
        target: the handler's registered name.
        results: the shapes of what it returns.
        vmap_method: see ``jax.ffi.ffi_call``.
        arrays: its operands.
        aliases: which result may lie where which operand lies.
        rows: its attributes.
    """
    library.status()  # the first call registers what is called here
    function = jax.ffi.ffi_call(
        target,
        results,
        vmap_method=vmap_method,
        input_output_aliases=dict(aliases or {}),
    )
    numbers = {
        key: np.array(row, np.int64) if isinstance(row, tuple) else _number(row)
        for key, row in rows.items()
    }
    return function(*arrays, **numbers)


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


def _number(value):
    return np.int64(value) if isinstance(value, int) else value
