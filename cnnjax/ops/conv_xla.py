"""The three maps of a convolution, written for XLA's own convolution.

XLA computes ``y[n, o] = sum_k x[n, s o + d k - low] w[k]`` with zeros between the
inputs (``lhs_dilation``) and between the taps (``rhs_dilation``). Each gradient is the
same sum read for another unknown, so each is again one call with the roles exchanged:

* kernel gradient ``dw[k] = sum_(n,o) x[n, s o + d k - low] dy[n, o]``: the window is
  dy, its taps are ``s`` apart, and the output positions ``k`` are ``d`` apart; images
  take the part of channels, for it is over them that we sum;
* input gradient ``dx[n, i] = sum_(o,k : s o + d k - low = i) dy[n, o] w[k]``: the
  window is the kernel rotated by 180 degrees, and dy has ``s - 1`` zeros between its
  values.

The padding at the end of each axis is what makes the output come out at its given size.
"""

import jax
from jax import lax

from cnnjax.ops.explicit import sharding_of_product
from cnnjax.typing import Window


def forward(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """y: ``(n, *spatial, in), (*taps, in/groups, out) -> (n, *positions, out)``."""
    channels_last = _channels_last(x.ndim)
    return lax.conv_general_dilated(
        x,
        kernel,
        window.strides,
        window.padding,
        lhs_dilation=window.input_dilation,
        rhs_dilation=window.dilation,
        dimension_numbers=(channels_last, _taps_first(x.ndim), channels_last),
        feature_group_count=window.groups,
        precision=window.precision,
    )


def input_gradient(
    dy: jax.Array, kernel: jax.Array, window: Window, sizes: tuple[int, ...]
) -> jax.Array:
    """dx of spatial ``sizes``: ``(n, *positions, out), kernel -> (n, *sizes, in)``."""
    rank = len(sizes)
    taps = kernel.shape[:rank]
    padding = []
    for axis in range(rank):
        spread = (dy.shape[1 + axis] - 1) * window.strides[axis] + 1
        reach = (taps[axis] - 1) * window.dilation[axis]
        low = reach - window.padding[axis][0]
        last = (sizes[axis] - 1) * window.input_dilation[axis]
        padding.append((low, last + reach + 1 - spread - low))
    channels_last = _channels_last(dy.ndim)
    return lax.conv_general_dilated(
        dy,
        rotate_and_exchange(kernel, window.groups),
        window.input_dilation,
        padding,
        lhs_dilation=window.strides,
        rhs_dilation=window.dilation,
        dimension_numbers=(channels_last, _taps_first(dy.ndim), channels_last),
        feature_group_count=window.groups,
        precision=window.precision,
    )


def kernel_gradient(
    x: jax.Array, dy: jax.Array, window: Window, taps: tuple[int, ...]
) -> jax.Array:
    """dw of spatial size ``taps``: ``x, dy -> (*taps, in/groups, out)``."""
    padding = []
    for axis in range(len(taps)):
        spread = (x.shape[1 + axis] - 1) * window.input_dilation[axis] + 1
        reach = (dy.shape[1 + axis] - 1) * window.strides[axis]
        low = window.padding[axis][0]
        last = (taps[axis] - 1) * window.dilation[axis]
        padding.append((low, last + reach + 1 - spread - low))
    spatial = tuple(range(1, x.ndim - 1))
    images_as_channels = lax.ConvDimensionNumbers(
        lhs_spec=(x.ndim - 1, 0, *spatial),
        rhs_spec=(x.ndim - 1, 0, *spatial),
        out_spec=(x.ndim - 2, x.ndim - 1, *(axis - 1 for axis in spatial)),
    )
    return lax.conv_general_dilated(
        x,
        dy,
        window.dilation,
        padding,
        lhs_dilation=window.input_dilation,
        rhs_dilation=window.strides,
        dimension_numbers=images_as_channels,
        batch_group_count=window.groups,
        precision=window.precision,
        out_sharding=sharding_of_product(x.ndim, (x, -1), (dy, -1)),
    )


def rotate_and_exchange(kernel, groups):
    """Rotates the taps by 180 degrees; ``(in/groups, out) -> (out/groups, in)``."""
    rank = kernel.ndim - 2
    *taps, inputs, outputs = kernel.shape
    kernel = lax.rev(kernel, tuple(range(rank)))
    kernel = kernel.reshape(*taps, inputs, groups, outputs // groups)
    order = (*range(rank), rank + 2, rank + 1, rank)
    return kernel.transpose(order).reshape(*taps, outputs // groups, groups * inputs)


def _channels_last(ndim):
    return "N" + "DHW"[5 - ndim :] + "C"


def _taps_first(ndim):
    return "DHW"[5 - ndim :] + "IO"
