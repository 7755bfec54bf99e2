"""The three maps of a depthwise convolution as a loop over the taps, for CPUs.

With one input and one output per group, ``y[n, o, c] = sum_k x[n, s o + d k - p, c]
w[k, c]`` is a few products of whole images, while XLA's grouped convolution on a CPU
computes the groups one by one, which is 10 to 50 times slower for 3x3 taps.

* input gradient: each tap's ``w[k] dy`` is added at the positions that the tap read;
* kernel gradient: ``dw[k, c]`` sums ``x dy`` over images and positions. Image by image,
  the products are added to the sums of all taps, which stay in the cache.

Half precision is summed in float32.
"""

import itertools
import math

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.channels import per_channel
from cnnjax.ops.conv.problem import ConvProblem
from cnnjax.ops.dtype import widened
from cnnjax.ops.gradient import vary_alike
from cnnjax.ops.taps import LARGEST_UNROLLED, scatter_taps, tap_slices
from cnnjax.typing import Window


def suits(problem: ConvProblem) -> bool:
    """Whether this is a depthwise convolution with few taps."""
    *taps, inputs, outputs = problem.kernel
    is_depthwise = inputs == 1 and outputs == problem.groups > 1
    few = math.prod(taps) <= LARGEST_UNROLLED
    return is_depthwise and few and set(problem.input_dilation) == {1}


def forward(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """y: ``(n, *spatial, c), (*taps, 1, c) -> (n, *positions, c)``."""
    taps = kernel.shape[:-2]
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
    parts = (widened(dy) * _tap(kernel, tap, dy.ndim) for tap in _places(taps))
    return scatter_taps(parts, taps, window, sizes).astype(dy.dtype)


def kernel_gradient(
    x: jax.Array, dy: jax.Array, window: Window, taps: tuple[int, ...]
) -> jax.Array:
    """dw of spatial size ``taps``: ``x, dy -> (*taps, 1, c)``."""

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


def _tap(kernel, tap, ndim):
    return per_channel(widened(kernel[(*tap, 0)]), ndim)


def _places(taps):
    return itertools.product(*map(range, taps))
