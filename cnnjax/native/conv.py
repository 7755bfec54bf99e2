"""The three maps of a convolution, computed by the compiled library.

Each is one custom call, with the shapes of ``cnnjax.ops.conv.xla``. Under ``vmap`` the
mapped axes come first in every array (with size 1 where an array is not mapped), and
the C++ side turns them into one larger batch or a loop.
"""

import ctypes
import enum
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

    A ``bias (out,)`` and then ReLU are applied before y is written.
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


class Implementation(enum.IntEnum):
    """What in the compiled library computes a map; ``conv/plan.h`` has the numbers."""

    NONE = 0
    JIT = 1
    """Code that oneDNN generates for the shapes."""
    JIT_DEPTHWISE = 2
    """The same, made for one channel per group."""
    GEMM = 3
    """oneDNN's im2col with a matrix product; slow."""
    REFERENCE = 4
    """oneDNN's plain loops; slow."""
    MATRIX_PRODUCTS = 5
    """Our matrix products of small images, ``conv/products.h``."""
    OUTER_PRODUCTS = 6
    """Our sums of outer products, ``conv/outer.h``."""
    ZEROS = 7
    """A batch without images: nothing to compute. Only Python has this number."""


_FAST = {
    Implementation.JIT,
    Implementation.JIT_DEPTHWISE,
    Implementation.MATRIX_PRODUCTS,
    Implementation.OUTER_PRODUCTS,
    Implementation.ZEROS,
}


class Found(NamedTuple):
    """The library's answer to which implementation would compute a map.

    Attributes:
        implementation: the answer.
        name: its name, for people.
        reason: why there is none; empty where there is one.
    """

    implementation: Implementation
    name: str
    reason: str = ""

    @property
    def is_fast(self) -> bool:
        """Whether it does more than plain loops or copies for a matrix product."""
        return self.implementation in _FAST


def no_implementation(reason: str) -> Found:
    """The answer that the library cannot compute a map, and why."""
    return Found(Implementation.NONE, "", reason)


def find(name: str, x: Shape, kernel: Shape, window: Window, dtype: Any) -> Found:
    """What the library has for the map called ``name`` of arrays of these shapes."""
    dtype = str(dtype)
    if dtype not in DTYPES:
        return no_implementation(f"arrays are {dtype}, expected {' or '.join(DTYPES)}")
    if set(window.input_dilation) != {1}:
        return no_implementation(f"input_dilation is {window.input_dilation}")
    return _ask(name, x, kernel, window._replace(precision=None), dtype)


@functools.lru_cache(maxsize=4096)
def _ask(name, x, kernel, window, dtype):
    loaded, reason = library.status()
    if loaded is None:
        return no_implementation(reason)
    if 0 in x:
        return Found(Implementation.ZEROS, "writing zeros")  # a sum without terms
    numbers = (
        x,
        kernel,
        output_shape(x, kernel, window),
        *window_numbers(window).values(),
    )
    number, text = library.call(
        loaded.cnnjax_conv_implementation,
        MAPS.index(name),
        dtype == "bfloat16",
        len(x) - 2,
        *((ctypes.c_int64 * len(row))(*row) for row in numbers),
        ctypes.c_int64(window.groups),
    )
    answer = Implementation(number)
    if answer is Implementation.NONE:
        return no_implementation(f"oneDNN: {text}")
    ours = Implementation.MATRIX_PRODUCTS, Implementation.OUTER_PRODUCTS
    return Found(answer, text if answer in ours else f"oneDNN {text}")


def _call(name, shape, window, *arrays, **choices):
    return call_target(
        f"cnnjax_conv_{name}_v1",
        result(shape, arrays[0]),
        "expand_dims",
        arrays,
        {**window_numbers(window), "groups": window.groups, **choices},
    )
