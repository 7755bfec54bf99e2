"""The three maps of a convolution, computed by oneDNN.

Each is a custom call of the same shapes as in ``cnnjax.ops.conv_xla``. Under ``vmap``
the mapped axes come in front of every array (of size 1 where an array is not mapped),
and the C++ side makes one larger batch or a loop of them.
"""

import ctypes
import functools
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from cnnjax.onednn import library
from cnnjax.typing import Window

MAPS = ("forward", "input_gradient", "kernel_gradient")
DTYPES = ("float32", "bfloat16")
Shape = tuple[int, ...]


def forward(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """y: ``(n, *spatial, in), (*taps, in/groups, out) -> (n, *positions, out)``."""
    shape = output_shape(x.shape, kernel.shape, window)
    return _call("forward", shape, window, x, kernel)


def input_gradient(
    dy: jax.Array, kernel: jax.Array, window: Window, sizes: Shape
) -> jax.Array:
    """dx of spatial ``sizes``: ``(n, *positions, out), kernel -> (n, *sizes, in)``."""
    shape = (len(dy), *sizes, kernel.shape[-2] * window.groups)
    return _call("input_gradient", shape, window, dy, kernel)


def kernel_gradient(
    x: jax.Array, dy: jax.Array, window: Window, taps: Shape
) -> jax.Array:
    """dw of spatial size ``taps``: ``x, dy -> (*taps, in/groups, out)``."""
    shape = (*taps, x.shape[-1] // window.groups, dy.shape[-1])
    return _call("kernel_gradient", shape, window, x, dy)


def output_shape(x: Shape, kernel: Shape, window: Window) -> Shape:
    """The shape of y."""
    axes = zip(
        x[1:-1],
        kernel[:-2],
        window.strides,
        window.dilation,
        window.padding,
        strict=True,
    )
    positions = (
        (n + low + high - (k - 1) * d - 1) // s + 1 for n, k, s, d, (low, high) in axes
    )
    return (x[0], *positions, kernel[-1])


def why_not(name: str, x: Shape, kernel: Shape, window: Window, dtype: Any) -> str:
    """Why the map called ``name`` cannot be computed here; empty if it can."""
    return _implementation(name, x, kernel, window, str(dtype))[1]


def is_fast(name: str, x: Shape, kernel: Shape, window: Window, dtype: Any) -> bool:
    """Whether oneDNN has more than its reference loops for the map."""
    found, reason = _implementation(name, x, kernel, window, str(dtype))
    return not reason and not {"ref", "gemm"} & set(found.split(":"))


@functools.lru_cache(maxsize=4096)
def _implementation(name, x, kernel, window, dtype) -> tuple[str, str]:
    """The name of oneDNN's implementation, or why there is none."""
    if dtype not in DTYPES:
        return "", f"arrays are {dtype}, expected {' or '.join(DTYPES)}"
    if set(window.input_dilation) != {1}:
        return "", f"input_dilation is {window.input_dilation}, expected all 1"
    loaded, reason = library.status()
    if loaded is None:
        return "", reason
    if 0 in x:
        return "empty", ""
    ask = loaded.cnnjax_conv_implementation
    y = output_shape(x, kernel, window)
    numbers = (x, kernel, y, *_numbers(window).values())
    failed = ctypes.c_int(1)
    text = library.text_of(
        lambda *args: setattr(failed, "value", ask(*args)),
        MAPS.index(name),
        dtype == "bfloat16",
        False,
        len(x) - 2,
        *((ctypes.c_int64 * len(row))(*row) for row in numbers),
        ctypes.c_int64(window.groups),
    )
    return ("", f"oneDNN: {text}") if failed.value else (text, "")


def _numbers(window):
    low, high = zip(*window.padding, strict=True)
    return {
        "strides": window.strides,
        "dilation": window.dilation,
        "low": low,
        "high": high,
    }


def _call(name, shape, window, *arrays):
    call = jax.ffi.ffi_call(
        f"cnnjax_conv_{name}_v1",
        _result(shape, jax.typeof(arrays[0])),
        vmap_method="expand_dims",
    )
    numbers = {key: np.array(row, np.int64) for key, row in _numbers(window).items()}
    return call(*arrays, **numbers, groups=np.int64(window.groups))


def _result(shape, like):
    """An array that differs between the devices of a mesh where ``like`` does."""
    whole = NamedSharding(like.sharding.mesh, PartitionSpec(*[None] * len(shape)))
    return jax.ShapeDtypeStruct(
        shape, like.dtype, sharding=whole, manual_axis_type=like.manual_axis_type
    )
