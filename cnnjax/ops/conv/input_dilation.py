"""The three maps of a convolution with input dilation, by the compiled library.

oneDNN has no input dilation. But with stride 1 and inputs ``s`` apart, each input adds
its kernel to the output at positions that are ``s`` apart, which is what the input
gradient of a convolution with stride ``s`` does::

    y_o = sum_(j,k : s j - d k + p = o) x_j w_k

So image and output swap their roles, the kernel is rotated and its channels
swapped, and a padding of ``p`` becomes one of ``(taps - 1) d - p``.
"""

import jax
import jax.numpy as jnp

from cnnjax.native import conv as conv_native
from cnnjax.ops.conv.problem import ConvProblem, Map
from cnnjax.ops.conv.xla import rotate_and_exchange
from cnnjax.typing import Window

_SWAPPED = {
    Map.FORWARD: Map.INPUT_GRADIENT,
    Map.INPUT_GRADIENT: Map.FORWARD,
    Map.KERNEL_GRADIENT: Map.KERNEL_GRADIENT,
}


def find(which: Map, problem: ConvProblem) -> conv_native.Found:
    """What the compiled library has for a map."""
    if set(problem.strides) != {1}:
        return conv_native.no_implementation(
            f"strides {problem.strides} together with input dilation"
        )
    *taps, inputs, outputs = problem.kernel
    rotated = (*taps, outputs // problem.groups, inputs * problem.groups)
    window = _swap(problem.window(), taps)
    return conv_native.find(_SWAPPED[which], problem.y, rotated, window, problem.dtype)


def forward(
    x: jax.Array,
    kernel: jax.Array,
    window: Window,
    bias: jax.Array | None = None,
    relu: bool = False,
) -> jax.Array:
    """y: ``(n, *spatial, in), (*taps, in/groups, out) -> (n, *positions, out)``."""
    sizes = conv_native.output_shape(x.shape, kernel.shape, window)[1:-1]
    rotated = rotate_and_exchange(kernel, window.groups)
    y = conv_native.input_gradient(x, rotated, _swap(window, kernel.shape[:-2]), sizes)
    y = y if bias is None else y + bias
    return jnp.maximum(y, 0) if relu else y


def input_gradient(
    dy: jax.Array, kernel: jax.Array, window: Window, sizes: tuple[int, ...]
) -> jax.Array:
    """dx of spatial ``sizes``."""
    rotated = rotate_and_exchange(kernel, window.groups)
    return conv_native.forward(dy, rotated, _swap(window, kernel.shape[:-2]))


def kernel_gradient(
    x: jax.Array, dy: jax.Array, window: Window, taps: tuple[int, ...]
) -> jax.Array:
    """dw of spatial size ``taps``: ``x, dy -> (*taps, in/groups, out)``."""
    rotated = conv_native.kernel_gradient(dy, x, _swap(window, taps), taps)
    return rotate_and_exchange(rotated, window.groups)


def _swap(window, taps):
    """The window of the strided convolution, from the output to the input."""
    reach = [(k - 1) * d for k, d in zip(taps, window.dilation, strict=True)]
    padding = tuple(
        (r - low, r - high)
        for r, (low, high) in zip(reach, window.padding, strict=True)
    )
    return window._replace(
        strides=window.input_dilation,
        padding=padding,
        input_dilation=(1,) * len(reach),
    )
