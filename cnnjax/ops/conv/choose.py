"""Which formulation computes a map of a convolution fastest on a CPU.

oneDNN is faster almost everywhere (``prefers_native``). XLA's own convolution
(``xla``) is a product of matrices at full speed in 1-D and 2-D, for the forward
map and for the input gradient without strides. Elsewhere it is slow:

* a 1x1 kernel with strides is a product of fewer rows, and of dx the others are zero,
  which oneDNN does not know either: ``pointwise``;
* depthwise, it goes from group to group: a loop over the taps (``depthwise``);
* in groups the same, and the kernel gradient is no product of matrices at all: one
  convolution per group (``grouped``), and ``im2col``;
* in 3-D it makes no product of matrices either, worse with gaps: ``im2col``;
* the input gradient with strides multiplies zeros: ``polyphase``, once x is large;
* the kernel gradient has a window as large as the image, which is slow once x and dy do
  not stay in the cache: ``im2col``.

The limits below come from measurements by ``scripts/benchmark_ops.py``.
"""

import math
from types import ModuleType

from cnnjax.native.conv import Implementation, output_shape
from cnnjax.ops.conv import depthwise, grouped, im2col, pointwise, polyphase, xla
from cnnjax.typing import Window

CACHE_BYTES = 2**22
"""x and dy up to this size stay in the cache, where XLA's kernel gradient is fast."""

FEWEST_POSITIONS = 32
"""Outputs of one image below which its window, dy, is small enough for XLA."""

NARROWEST = 32
"""Sides of the product below which a value is used too rarely to copy it."""

FEW_GROUPS = 8
"""Groups up to which a product each beats XLA's loop."""

FEW_PLACES = 16
"""Outputs of an image up to which a 1x1 kernel is a faster product by XLA."""

FEW_INPUTS, FEW_OUTPUTS = 4, 16
"""Channels up to which oneDNN's gradient of an image wastes more than XLA's."""

Shape = tuple[int, ...]


def prefers_native(
    name: str,
    x_shape: Shape,
    kernel_shape: Shape,
    window: Window,
    found: Implementation,
) -> bool:
    """Whether oneDNN's map called ``name`` is faster than all of XLA's."""
    if depthwise.suits(kernel_shape, window):
        return found.is_depthwise
    if pointwise.suits(kernel_shape, window):
        if name == "input_gradient" and max(window.strides) > 1:
            return False
        places = math.prod(output_shape(x_shape, kernel_shape, window)[1:-1])
        return found.is_fast and places > FEW_PLACES
    *taps, inputs, outputs = kernel_shape
    if name == "input_gradient" and inputs <= FEW_INPUTS and window.groups == 1:
        pairs = zip(taps, window.strides, strict=True)
        dense = all(k >= 3 * s for k, s in pairs)
        return found.is_fast and dense and outputs <= FEW_OUTPUTS
    return found.is_fast


def choose(
    name: str, x_shape: Shape, kernel_shape: Shape, window: Window
) -> ModuleType:
    """The module with the fastest map called ``name`` for arrays of these shapes."""
    if pointwise.suits(kernel_shape, window):
        return pointwise
    if depthwise.suits(kernel_shape, window):
        return depthwise
    if set(window.input_dilation) != {1} or x_shape[0] == 0:
        return xla
    y_shape = output_shape(x_shape, kernel_shape, window)
    return _CHOICES[name](x_shape, kernel_shape, y_shape, window)


def _forward(x, kernel, y, window):
    if window.groups > 1:
        return grouped if window.groups <= FEW_GROUPS else xla
    bounded = im2col.suits(x, y, kernel[:-2])
    return im2col if len(x) == 5 and bounded else xla


def _input_gradient(x, kernel, y, window):
    if window.groups > 1:
        return grouped if window.groups <= FEW_GROUPS else xla
    bounded = len(x) < 5 or im2col.suits(y, x, kernel[:-2])
    if max(window.strides) > 1:
        large = len(x) == 5 or 4 * math.prod(x) >= 2 * CACHE_BYTES
        phases = large and polyphase.suits(kernel, window)
        return polyphase if phases and bounded else xla
    return im2col if len(x) == 5 and bounded else xla


def _kernel_gradient(x, kernel, y, window):
    *taps, inputs, outputs = kernel
    if not im2col.suits(x, y, kernel[:-2]):
        return xla
    if window.groups > 1 or len(taps) == 3:
        return im2col
    large = 4 * (math.prod(x) + math.prod(y)) >= CACHE_BYTES
    positions = math.prod(y[1:-1]) >= FEWEST_POSITIONS
    sides = math.prod(taps) * inputs, outputs
    used = min(sides) >= NARROWEST and (inputs <= 4 * outputs or math.prod(taps) == 1)
    suits = len(taps) == 2 and large and positions and used
    return im2col if suits else xla


_CHOICES = {
    "forward": _forward,
    "input_gradient": _input_gradient,
    "kernel_gradient": _kernel_gradient,
}
