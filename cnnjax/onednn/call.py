"""Calls of the library's handlers, inside of any transformation of JAX."""

from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from cnnjax.onednn import library
from cnnjax.typing import Window


def call_target(target: str, results: Any, vmap_method: str, *arrays: Any, **rows: Any):
    """Calls a handler with whole numbers, or rows of them, for its attributes."""
    library.status()  # the first call registers what is called here
    function = jax.ffi.ffi_call(target, results, vmap_method=vmap_method)
    numbers = {key: np.array(row, np.int64)[()] for key, row in rows.items()}
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
