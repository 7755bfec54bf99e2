"""The three maps of a convolution, written for XLA's own convolution.

XLA computes ``y[n, o] = sum_k x[n, s o + d k - low] w[k]`` with zeros between the
inputs (``lhs_dilation``) and between the taps (``rhs_dilation``). Each gradient is the
same sum solved for another unknown, so each is again one call, with the roles swapped:

* kernel gradient ``dw[k] = sum_(n,o) x[n, s o + d k - low] dy[n, o]``: the window is
  dy, its taps are ``s`` apart, and the output positions ``k`` are ``d`` apart; images
  play the part of channels, because the sum runs over them;
* input gradient ``dx[n, i] = sum_(o,k : s o + d k - low = i) dy[n, o] w[k]``: the
  window is the kernel rotated by 180 degrees, and dy has ``s - 1`` zeros between its
  values.

The padding at the end of each axis gives the output its size. Every call avoids XLA's
faults (see ``faults``).
"""

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.native.call import positions
from cnnjax.ops import explicit
from cnnjax.ops.conv import faults
from cnnjax.typing import Window

Sizes = tuple[int, ...]


def forward(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """y: ``(n, *spatial, in), (*taps, in/groups, out) -> (n, *positions, out)``."""
    whole = _forward_sum(x.shape[1:-1], kernel.shape[:-2], window)
    return convolve(x, kernel, whole, window)


def stock_forward(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """y, for JAX to differentiate: the sums that it derives avoid the faults too."""
    taps = kernel.shape[:-2]
    whole = _forward_sum(x.shape[1:-1], taps, window)
    if whole.is_dense:
        x, padding = faults.crop(x, whole.padding)
        # More padding than the kernel reaches is cropping in the gradient of x.
        excess = [
            (max(low - k + 1, 0), max(high - k + 1, 0))
            for k, (low, high) in zip(taps, padding, strict=True)
        ]
        if any(map(any, excess)):
            x = faults.pad(x, excess)
            padding = tuple(
                (low - before, high - after)
                for (low, high), (before, after) in zip(padding, excess, strict=True)
            )
        window = window._replace(padding=padding)
    # Twice, because a zero that one sum needs may cause a fault in another.
    for _ in range(2):
        sizes = x.shape[1:-1]
        whole = _forward_sum(sizes, taps, window)
        outputs = positions(sizes, taps, window)
        sums = (
            whole,
            input_sum(sizes, taps, outputs, window),
            _kernel_sum(sizes, taps, outputs, window),
        )
        aborts = (faults.swap_aborts(each) for each in sums)
        axes = [any(axis) for axis in zip(*aborts, strict=True)]
        x, padding = faults.append_zeros(x, whole, axes)
        window = window._replace(padding=padding)
    return _call(x, kernel, _forward_sum(x.shape[1:-1], taps, window), window)


def input_gradient(
    dy: jax.Array, kernel: jax.Array, window: Window, sizes: Sizes
) -> jax.Array:
    """dx of spatial ``sizes``: ``(n, *positions, out), kernel -> (n, *sizes, in)``."""
    whole = input_sum(sizes, kernel.shape[:-2], dy.shape[1:-1], window)
    rotated = rotate_and_exchange(kernel, window.groups)
    return convolve(dy, rotated, whole, window)


def kernel_gradient(
    x: jax.Array, dy: jax.Array, window: Window, taps: Sizes
) -> jax.Array:
    """dw of spatial size ``taps``: ``x, dy -> (*taps, in/groups, out)``."""
    whole = _kernel_sum(x.shape[1:-1], taps, dy.shape[1:-1], window)
    spatial = tuple(range(1, x.ndim - 1))
    images_as_channels = lax.ConvDimensionNumbers(
        lhs_spec=(x.ndim - 1, 0, *spatial),
        rhs_spec=(x.ndim - 1, 0, *spatial),
        out_spec=(x.ndim - 2, x.ndim - 1, *(axis - 1 for axis in spatial)),
    )
    return convolve(
        *(x, dy, whole, window),
        dimension_numbers=images_as_channels,
        batch_group_count=window.groups,
        out_sharding=explicit.sharding_of_product(x.ndim, (x, -1), (dy, -1)),
    )


def rotate_and_exchange(kernel, groups):
    """Rotates the taps by 180 degrees: ``(in/groups, out) -> (out/groups, in)``."""
    rank = kernel.ndim - 2
    *taps, inputs, outputs = kernel.shape
    kernel = lax.rev(kernel, tuple(range(rank)))
    kernel = kernel.reshape(*taps, inputs, groups, outputs // groups)
    order = (*range(rank), rank + 2, rank + 1, rank)
    return kernel.transpose(order).reshape(*taps, outputs // groups, groups * inputs)


def _forward_sum(sizes, taps, window):
    return faults.Sum(
        sizes,
        taps,
        window.strides,
        window.padding,
        lhs_dilation=window.input_dilation,
        rhs_dilation=window.dilation,
    )


def input_sum(sizes, taps, outputs, window):
    """dx: the rotated kernel slides over dy, spread by the strides."""
    padding = []
    for n, k, m, s, (before, _), d, spread in zip(
        *(sizes, taps, outputs), *window[:4], strict=True
    ):
        reach = (k - 1) * d
        low = reach - before
        padding.append((low, (n - 1) * spread + reach - (m - 1) * s - low))
    return faults.Sum(
        outputs,
        taps,
        window.input_dilation,
        padding,
        lhs_dilation=window.strides,
        rhs_dilation=window.dilation,
    )


def _kernel_sum(sizes, taps, outputs, window):
    """dw: dy, spread by the strides, slides over x."""
    padding = []
    for n, k, m, s, (low, _), d, spread in zip(
        *(sizes, taps, outputs), *window[:4], strict=True
    ):
        padding.append((low, (k - 1) * d + (m - 1) * s - (n - 1) * spread - low))
    return faults.Sum(
        sizes,
        outputs,
        window.dilation,
        padding,
        lhs_dilation=window.input_dilation,
        rhs_dilation=window.strides,
    )


def convolve(operand, kernel, whole, window, **options):
    """The sum in a form that XLA computes correctly."""
    operand, padding = faults.avoid(operand, whole)
    return _call(operand, kernel, whole._replace(padding=padding), window, **options)


def _call(operand, kernel, whole, window, **options):
    if not options:
        channels_last, taps_first = _dimensions(operand.ndim)
        options = {
            "dimension_numbers": (channels_last, taps_first, channels_last),
            "feature_group_count": window.groups,
        }
    if any(explicit.is_symbolic(pair) for pair in whole.padding):
        # JAX requires numbers for the padding of a convolution.
        axes = zip(whole.padding, whole.lhs_dilation, strict=True)
        config = [(0, 0, 0), *((*pair, spread - 1) for pair, spread in axes), (0, 0, 0)]
        operand = lax.pad(operand, jnp.zeros((), operand.dtype), config)
        rank = len(whole.taps)
        whole = whole._replace(padding=((0, 0),) * rank, lhs_dilation=(1,) * rank)
    return lax.conv_general_dilated(
        operand,
        kernel,
        whole.strides,
        whole.padding,
        lhs_dilation=whole.lhs_dilation,
        rhs_dilation=whole.rhs_dilation,
        precision=window.precision,
        **options,
    )


def _dimensions(ndim):
    spatial = "DHW"[5 - ndim :]
    return f"N{spatial}C", f"{spatial}IO"
