"""A sliding window as a loop over its taps, each one strided slice of the whole image.

Few operations on large arrays, where a loop over positions would be many small ones.
"""

import itertools
from collections.abc import Iterable, Iterator

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops import padding as pads
from cnnjax.typing import Window

LARGEST_UNROLLED = 32


def tap_slices(
    x: jax.Array, taps: tuple[int, ...], window: Window, fill: float
) -> Iterator[jax.Array]:
    """For each tap in row-major order, its value in every window."""
    sizes = x.shape[1:-1]
    covered = pads.span(taps, window.dilation)
    out = pads.output_sizes(sizes, covered, window.strides, window.padding)
    if any(side for pair in window.padding for side in pair):
        config = [(0, 0, 0), *((*pair, 0) for pair in window.padding), (0, 0, 0)]
        x = lax.pad(x, jnp.asarray(fill, x.dtype), config)
    for tap in itertools.product(*map(range, taps)):
        start = [k * d for k, d in zip(tap, window.dilation, strict=True)]
        stop = [
            first + (n - 1) * s + 1
            for first, n, s in zip(start, out, window.strides, strict=True)
        ]
        yield lax.slice(
            x, (0, *start, 0), (x.shape[0], *stop, x.shape[-1]), (1, *window.strides, 1)
        )


def scatter_taps(
    values: Iterable[jax.Array],
    taps: tuple[int, ...],
    window: Window,
    sizes: tuple[int, ...],
) -> jax.Array:
    """Adds up the values of each tap at their places in the image of ``sizes``."""
    total = None
    for value, tap in zip(values, itertools.product(*map(range, taps)), strict=True):
        config = [(0, 0, 0)]
        for axis, size in enumerate(sizes):
            stride, (before, _) = window.strides[axis], window.padding[axis]
            low = tap[axis] * window.dilation[axis] - before
            high = size - low - (value.shape[1 + axis] - 1) * stride - 1
            config.append((low, high, stride - 1))
        placed = lax.pad(value, jnp.zeros((), value.dtype), [*config, (0, 0, 0)])
        total = placed if total is None else total + placed
    assert total is not None
    return total
