"""Which formulation computes a map of a convolution fastest on a CPU.

oneDNN is faster almost everywhere (``prefers_native``). XLA's own convolution
(``conv_xla``) is a product of matrices at full speed in 1-D and 2-D, for the forward
map and for the input gradient without strides. Elsewhere it is slow:

* a 1x1 kernel with strides is a product of fewer rows, and of dx the others are zero,
  which oneDNN does not know either: ``conv_pointwise``;
* depthwise, it goes from group to group: a loop over the taps (``conv_depthwise``);
* in groups the same, and the kernel gradient is no product of matrices at all: one
  convolution per group (``conv_groups``), and ``conv_unfold``;
* in 3-D it makes no product of matrices either, worse with gaps: ``conv_unfold``;
* the input gradient with strides multiplies zeros: ``conv_phases``, once x is large;
* the kernel gradient has a window as large as the image, which is slow once x and dy do
  not stay in the cache: ``conv_unfold``.

The limits below come from measurements by ``scripts/benchmark_ops.py``.
"""

import math
from types import ModuleType

from cnnjax.native.conv import Implementation, output_shape
from cnnjax.ops import (
    conv_depthwise,
    conv_groups,
    conv_phases,
    conv_pointwise,
    conv_unfold,
    conv_xla,
)
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
    if conv_depthwise.suits(kernel_shape, window):
        return found.is_depthwise
    if conv_pointwise.suits(kernel_shape, window):
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
    if conv_pointwise.suits(kernel_shape, window):
        return conv_pointwise
    if conv_depthwise.suits(kernel_shape, window):
        return conv_depthwise
    if set(window.input_dilation) != {1} or x_shape[0] == 0:
        return conv_xla
    y_shape = output_shape(x_shape, kernel_shape, window)
    return _CHOICES[name](x_shape, kernel_shape, y_shape, window)


def _forward(x, kernel, y, window):
    if window.groups > 1:
        return conv_groups if window.groups <= FEW_GROUPS else conv_xla
    bounded = conv_unfold.suits(x, y, kernel[:-2])
    return conv_unfold if len(x) == 5 and bounded else conv_xla


def _input_gradient(x, kernel, y, window):
    if window.groups > 1:
        return conv_groups if window.groups <= FEW_GROUPS else conv_xla
    bounded = len(x) < 5 or conv_unfold.suits(y, x, kernel[:-2])
    if max(window.strides) > 1:
        large = len(x) == 5 or 4 * math.prod(x) >= 2 * CACHE_BYTES
        phases = large and conv_phases.suits(kernel, window)
        return conv_phases if phases and bounded else conv_xla
    return conv_unfold if len(x) == 5 and bounded else conv_xla


def _kernel_gradient(x, kernel, y, window):
    *taps, inputs, outputs = kernel
    if not conv_unfold.suits(x, y, kernel[:-2]):
        return conv_xla
    if window.groups > 1 or len(taps) == 3:
        return conv_unfold
    large = 4 * (math.prod(x) + math.prod(y)) >= CACHE_BYTES
    positions = math.prod(y[1:-1]) >= FEWEST_POSITIONS
    sides = math.prod(taps) * inputs, outputs
    used = min(sides) >= NARROWEST and (inputs <= 4 * outputs or math.prod(taps) == 1)
    suits = len(taps) == 2 and large and positions and used
    return conv_unfold if suits else conv_xla


_CHOICES = {
    "forward": _forward,
    "input_gradient": _input_gradient,
    "kernel_gradient": _kernel_gradient,
}
