"""The maps of fused batch normalization in XLA's operations.

They are those of ``cnnjax.native.norm``, with the same names, arguments and results.
"""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops import explicit
from cnnjax.ops.channels import per_channel
from cnnjax.ops.norm import maps

MOST_PARTS = 512
"""Into how many parts a GPU's sum over the positions is split at most."""

MOST_SUMS = 2**16
"""How many sums of such parts are computed at most."""

FEWEST_VALUES = 32
"""How many values are summed up in such a part at least."""


def moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and variance ``(channels,)`` of ``x (..., channels)``."""
    mean, variance = maps.moments(x, range(x.ndim - 1))
    return mean.reshape(-1), variance.reshape(-1)


def apply(x, mean, factor, bias, add, *, relu: float) -> jax.Array:
    """``y = relu(f (x - m) + b + z)``."""
    mean, factor, bias = _all_per_channel(x, mean, factor, bias)
    y = (x - mean) * factor + bias
    y = y if add is None else y + add
    return (jnp.clip(y, 0, relu) if relu else y).astype(x.dtype)


def apply_to_stored(x, mean, factor, bias, add, *, relu: float) -> jax.Array:
    """``apply`` for GPUs, which reads z in half precision from memory.

    XLA would otherwise compute with z as it was before rounding, and keep that, too.
    """
    if add is not None and add.dtype.itemsize < 4:
        add = lax.optimization_barrier(add)
    return apply(x, mean, factor, bias, add, relu=relu)


def sums(
    dy, x, y, mean, factor, bias, *, relu: float, wants_g: bool
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """The sums of g and ``g (x - m)``, ``(channels,)``; and g, where it is wanted."""
    g, product = _summands(dy, x, y, mean, factor, bias, relu)
    axes = tuple(range(x.ndim - 1))
    kept = g.astype(x.dtype) if wants_g else None
    return g.sum(axes), product.sum(axes), kept


def gradient(
    dy, x, mean, factor, bias, by_distance, constant, *, relu: float
) -> jax.Array:
    """``dx = f g + (x - m) by_distance + constant``."""
    g = _passed(dy, x, None, mean, factor, bias, relu).astype(mean.dtype)
    mean, factor, by_distance, constant = _all_per_channel(
        x, mean, factor, by_distance, constant
    )
    return (g * factor + (x - mean) * by_distance + constant).astype(x.dtype)


def sums_by_g(dy, x, y, mean, factor, bias, *, relu: float, wants_g: bool):
    """``sums`` for GPUs.

    In half precision, the sum of g is read from the g in memory: one kernel then gives
    g and the other sum; XLA does not fuse it with both sums.
    """
    g, product = _summands(dy, x, y, mean, factor, bias, relu)
    kept = g.astype(x.dtype) if wants_g else None
    if wants_g and x.dtype.itemsize < 4:
        kept = lax.optimization_barrier(kept)
        g = kept.astype(mean.dtype)
    return _sum_in_parts(g), _sum_in_parts(product), kept


def _sum_in_parts(values):
    """``values (..., channels)`` summed up for each channel, in two steps.

    The first step gives enough sums to keep a whole GPU busy. With fewer, XLA computes
    the values in a separate kernel and stores them.
    """
    *axes, channels = values.shape
    if explicit.is_symbolic(axes):
        return values.sum(range(len(axes)))
    counts = _parts(tuple(axes), channels)
    # Each axis is split on its own, which moves nothing in any layout.
    pairs = zip(counts, axes, strict=True)
    shape = [n for count, size in pairs for n in (count, size // count)]
    sums = values.reshape(*shape, channels).sum(range(1, 2 * len(axes), 2))
    return lax.optimization_barrier(sums).sum(range(len(axes)))


@functools.cache
def _parts(sizes: tuple[int, ...], channels: int) -> tuple[int, ...]:
    """Into how many parts ``_sum_in_parts`` splits each axis."""
    parts = min(MOST_PARTS, MOST_SUMS // channels, math.prod(sizes) // FEWEST_VALUES)
    parts = max(parts, 1)
    divisors = [[n for n in range(1, parts + 1) if size % n == 0] for size in sizes]
    splits = (ns for ns in itertools.product(*divisors) if math.prod(ns) <= parts)
    return max(splits, key=lambda ns: (math.prod(ns), ns))


def gradient_apart(dy, x, mean, *rows, relu: float) -> jax.Array:
    """``gradient`` for accelerators, which computes again what ReLU passed on."""
    mean = lax.optimization_barrier(mean) if relu else mean
    return gradient(dy, x, mean, *rows, relu=relu)


def _summands(dy, x, y, mean, factor, bias, relu):
    """g and ``g (x - m)``."""
    g = _passed(dy, x, y, mean, factor, bias, relu).astype(mean.dtype)
    return g, g * (x - per_channel(mean, x.ndim))


def _passed(dy, x, y, mean, factor, bias, relu):
    """g: dL/dy where ReLU passed y on, else 0."""
    if not relu:
        return dy
    mean, factor, bias = _all_per_channel(x, mean, factor, bias)
    if y is None:
        y = (x - mean) * factor + bias
    passes = y > 0 if relu == math.inf else (y > 0) & (y < relu)
    return jnp.where(passes, dy, 0)


def _all_per_channel(x, *arrays):
    return [per_channel(array, x.ndim) for array in arrays]
