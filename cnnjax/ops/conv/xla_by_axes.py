"""The input gradient of a convolution for accelerators, by XLA's own convolution.

It is the sum of ``cnnjax.ops.conv.xla``, but the kernel keeps its order ``(*taps, in,
out)``: the numbers of its axes say that the outputs are summed over. JAX derives this
form too, and the compilers of TPUs and GPUs make fewer copies in other layouts of it
than of a transposed kernel.
"""

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.conv import xla
from cnnjax.typing import Window


def input_gradient(
    dy: jax.Array, kernel: jax.Array, window: Window, sizes: tuple[int, ...]
) -> jax.Array:
    """dx of spatial ``sizes``: ``(n, *positions, out), kernel -> (n, *sizes, in)``."""
    *taps, inputs, _ = kernel.shape
    whole = xla.input_sum(sizes, tuple(taps), dy.shape[1:-1], window)
    spatial = tuple(range(1, dy.ndim - 1))
    numbers = lax.ConvDimensionNumbers(
        lhs_spec=(0, dy.ndim - 1, *spatial),
        rhs_spec=(dy.ndim - 2, dy.ndim - 1, *(axis - 1 for axis in spatial)),
        out_spec=(0, dy.ndim - 1, *spatial),
    )
    rotated = lax.rev(kernel, tuple(range(len(taps))))
    if window.groups > 1:  # each takes its outputs to its own inputs
        parts = rotated.reshape(*taps, inputs, window.groups, -1)
        parts = jnp.moveaxis(parts, -2, -3)
        rotated = parts.reshape(*taps, window.groups * inputs, -1)
    return xla.convolve(
        *(dy, rotated, whole, window),
        dimension_numbers=numbers,
        feature_group_count=window.groups,
    )
