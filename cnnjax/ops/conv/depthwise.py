"""The three maps of a depthwise convolution as a loop over the taps, for CPUs.

With one input and one output per group, ``y[n, o, c] = sum_k x[n, s o + d k - p, c]
w[k, c]`` is a few products of whole images, while XLA's grouped convolution on a CPU
computes the groups one by one, which is 10 to 50 times slower for 3x3 taps.

* input gradient: each tap's ``w[k] dy`` is added at the positions that the tap read;
* kernel gradient: ``dw[k, c]`` sums ``x dy`` over images and positions. Image by image,
  the products are added to the sums of all taps, which stay in the cache.

The loop is unrolled for few taps, and a scan for many, such as 7x7.

Half precision is summed in float32.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnjax.native.conv import output_shape
from cnnjax.ops.channels import per_channel
from cnnjax.ops.conv.problem import ConvProblem
from cnnjax.ops.dtype import widened
from cnnjax.ops.gradient import vary_alike
from cnnjax.ops.taps import LARGEST_UNROLLED, scatter_taps, tap_slices
from cnnjax.typing import Window


def suits(problem: ConvProblem) -> bool:
    """Whether this is a depthwise convolution."""
    *_, inputs, outputs = problem.kernel
    is_depthwise = inputs == 1 and outputs == problem.groups > 1
    return is_depthwise and set(problem.input_dilation) == {1}


def forward(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """y: ``(n, *spatial, c), (*taps, 1, c) -> (n, *positions, c)``."""
    taps = kernel.shape[:-2]
    if _are_many(taps):
        return _scanned_forward(x, kernel, window).astype(x.dtype)
    total = None
    for tap, value in zip(_places(taps), tap_slices(x, taps, window, 0), strict=True):
        product = widened(value) * _tap(kernel, tap, x.ndim)
        total = product if total is None else total + product
    assert total is not None
    return total.astype(x.dtype)


def input_gradient(
    dy: jax.Array, kernel: jax.Array, window: Window, sizes: tuple[int, ...]
) -> jax.Array:
    """dx of spatial ``sizes``."""
    taps = kernel.shape[:-2]
    if _are_many(taps):
        return _scanned_input_gradient(dy, kernel, window, sizes).astype(dy.dtype)
    parts = (widened(dy) * _tap(kernel, tap, dy.ndim) for tap in _places(taps))
    return scatter_taps(parts, taps, window, sizes).astype(dy.dtype)


def kernel_gradient(
    x: jax.Array, dy: jax.Array, window: Window, taps: tuple[int, ...]
) -> jax.Array:
    """dw of spatial size ``taps``: ``x, dy -> (*taps, 1, c)``."""
    if _are_many(taps):
        dkernel = _scanned_kernel_gradient(x, dy, window, taps)
        return dkernel.reshape(*taps, 1, -1).astype(x.dtype)

    def add(sums, image):
        x, dy = image
        products = (
            widened(value[0]) * widened(dy)
            for value in tap_slices(x[None], taps, window, 0)
        )
        return [a + b for a, b in zip(sums, products, strict=True)], None

    zeros, _ = vary_alike(jnp.zeros(dy.shape[1:], widened(dy).dtype), dy)
    sums, _ = lax.scan(add, [zeros] * math.prod(taps), (x, dy))
    channels = dy.shape[-1]
    dkernel = jnp.stack([a.reshape(-1, channels).sum(0) for a in sums])
    return dkernel.reshape(*taps, 1, channels).astype(x.dtype)


def _are_many(taps):
    return math.prod(taps) > LARGEST_UNROLLED


def _scanned_forward(x, kernel, window):
    outputs = output_shape(x.shape, kernel.shape, window)
    x = _padded(x, window.padding)
    rows = widened(kernel).reshape(-1, kernel.shape[-1])

    def add(total, tap):
        place, row = tap
        value = _tap_at(x, place, outputs, window.strides)
        return total + value * per_channel(row, x.ndim), None

    zeros, *_ = vary_alike(jnp.zeros(outputs, rows.dtype), x, kernel)
    total, _ = lax.scan(add, zeros, (_starts(kernel.shape[:-2], window), rows))
    return total


def _scanned_input_gradient(dy, kernel, window, sizes):
    """The forward map of dy, with zeros between its values, and the kernel rotated."""
    axes = range(len(sizes))
    between = [s - 1 for s in window.strides]
    padding = []
    for axis, size in enumerate(sizes):
        reach = (kernel.shape[axis] - 1) * window.dilation[axis]
        low = reach - window.padding[axis][0]
        covered = (dy.shape[1 + axis] - 1) * window.strides[axis] + 1
        padding.append((low, size + reach - covered - low))
    dy = _padded(dy, padding, between)
    without = ((0, 0),) * len(sizes)
    dense = window._replace(strides=(1,) * len(sizes), padding=without)
    return _scanned_forward(dy, jnp.flip(kernel, axes), dense)


def _scanned_kernel_gradient(x, dy, window, taps):
    """``x, dy -> (number of taps, c)``."""
    x, dy = _padded(x, window.padding), widened(dy)

    def product(place):
        value = _tap_at(x, place, dy.shape, window.strides)
        return jnp.sum(value * dy, range(dy.ndim - 1))

    return lax.map(product, _starts(taps, window))


def _padded(x, padding, between=None):
    """``x`` with zeros around its spatial axes and ``between`` their values."""
    between = between or [0] * len(padding)
    spatial = [(*pair, gap) for pair, gap in zip(padding, between, strict=True)]
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *spatial, (0, 0, 0)])


def _starts(taps, window):
    """Where the slice of each tap starts, for each spatial axis."""
    return np.multiply(list(_places(taps)), window.dilation, dtype=np.int32)


def _tap_at(x, start, outputs, strides):
    """The value of the tap whose slice starts at ``start``, in every window."""
    pairs = zip(outputs[1:-1], strides, strict=True)
    reach = [(n - 1) * s + 1 for n, s in pairs]
    zero = np.int32(0)
    first = (zero, *start, zero)
    value = lax.dynamic_slice(x, first, (x.shape[0], *reach, x.shape[-1]))
    return widened(value[:, *(slice(None, None, s) for s in strides)])


def _tap(kernel, tap, ndim):
    return per_channel(widened(kernel[(*tap, 0)]), ndim)


def _places(taps):
    return itertools.product(*map(range, taps))
