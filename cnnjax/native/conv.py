"""The three maps of a convolution, computed by oneDNN.

Each is a custom call of the same shapes as in ``cnnjax.ops.conv.xla``. Under ``vmap``
the mapped axes come in front of every array (of size 1 where an array is not mapped),
and the C++ side makes one larger batch or a loop of them.
"""

import ctypes
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cnnjax.native import library
from cnnjax.native.call import call_target, positions, result, window_numbers
from cnnjax.typing import Window

MAPS = ("forward", "input_gradient", "kernel_gradient")
DTYPES = ("float32", "bfloat16")
Shape = tuple[int, ...]


def forward(
    x: jax.Array,
    kernel: jax.Array,
    window: Window,
    bias: jax.Array | None = None,
    relu: bool = False,
) -> jax.Array:
    """y: ``(n, *spatial, in), (*taps, in/groups, out) -> (n, *positions, out)``.

    A ``bias (out,)`` is added, and ReLU taken of that, before y is written.
    """
    shape = output_shape(x.shape, kernel.shape, window)
    choices = {"has_bias": bias is not None, "relu": relu}
    bias = jnp.zeros(0, x.dtype) if bias is None else bias
    return _call("forward", shape, window, x, kernel, bias, **choices)


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
    return (x[0], *positions(x[1:-1], kernel[:-2], window), kernel[-1])


class Implementation(NamedTuple):
    """What of the compiled library would compute a map.

    Attributes:
        name: oneDNN's name of it, or that of ours; empty where there is none.
        reason: why there is none.
    """

    name: str
    reason: str = ""

    @property
    def is_fast(self) -> bool:
        """Whether this is more than reference loops or copies for a matrix product."""
        return bool(self.name) and not {"ref", "gemm"} & set(self.name.split(":"))

    @property
    def is_depthwise(self) -> bool:
        """Whether this is made for one channel in a group."""
        return "dw:" in self.name


def implementation(
    name: str, x: Shape, kernel: Shape, window: Window, dtype: Any
) -> Implementation:
    """What oneDNN has for the map called ``name`` of arrays of these shapes."""
    dtype = str(dtype)
    if dtype not in DTYPES:
        return Implementation("", f"arrays are {dtype}, expected {' or '.join(DTYPES)}")
    if set(window.input_dilation) != {1}:
        return Implementation("", f"input_dilation is {window.input_dilation}")
    return _ask(name, x, kernel, window._replace(precision=None), dtype)


@functools.lru_cache(maxsize=4096)
def _ask(name, x, kernel, window, dtype):
    loaded, reason = library.status()
    if loaded is None:
        return Implementation("", reason)
    if 0 in x:
        return Implementation("zeros")  # sums without terms need no oneDNN
    numbers = (
        x,
        kernel,
        output_shape(x, kernel, window),
        *window_numbers(window).values(),
    )
    failed, text = library.call(
        loaded.cnnjax_conv_implementation,
        MAPS.index(name),
        dtype == "bfloat16",
        len(x) - 2,
        *((ctypes.c_int64 * len(row))(*row) for row in numbers),
        ctypes.c_int64(window.groups),
    )
    return Implementation("", f"oneDNN: {text}") if failed else Implementation(text)


def _call(name, shape, window, *arrays, **choices):
    return call_target(
        f"cnnjax_conv_{name}_v1",
        result(shape, arrays[0]),
        "expand_dims",
        arrays,
        {**window_numbers(window), "groups": window.groups, **choices},
    )
