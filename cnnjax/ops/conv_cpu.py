"""Which formulation computes a map of a convolution fastest by XLA on a CPU.

XLA's own convolution is a product of matrices at full speed in the forward map and in
gradients without stride, in 1-D and 2-D. It is slow, and something else is faster,

* depthwise: a loop over the groups (``conv_depthwise``);
* in groups: the same, and no product for the kernel gradient (``conv_groups``);
* in 3-D: a loop without cache blocks, worse with gaps (``conv_unfold``);
* input gradient with a stride: products with zeros (``conv_phases``);
* kernel gradient: a window as large as the image, once x and dy have left the cache
  (``conv_unfold``).

The limits are measured by ``scripts/benchmark_ops.py``; docs/gradients.md has them.
"""

import math
from types import ModuleType

from cnnjax.onednn.conv import output_shape
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

FEWEST_OUTPUTS = 16
"""Output channels below which a value of the patches is used too rarely to copy it."""

FEW_GROUPS = 8
"""Groups up to which a product each beats XLA's loop."""

Shape = tuple[int, ...]


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
    bounded = conv_unfold.suits(y, x, kernel[:-2])
    if max(window.strides) > 1:
        phases = conv_phases.suits(kernel, window)
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
    used = outputs >= max(FEWEST_OUTPUTS, inputs // 4) or math.prod(taps) == 1
    suits = len(taps) == 2 and large and positions and used
    return conv_unfold if suits else conv_xla


_CHOICES = {
    "forward": _forward,
    "input_gradient": _input_gradient,
    "kernel_gradient": _kernel_gradient,
}
