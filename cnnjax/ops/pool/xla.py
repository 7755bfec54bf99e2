"""The maps of the poolings in XLA's operations.

They take one slice of the image per tap. In the backward pass, where the windows tile
the image, one broadcast sends each value to its taps.
"""

import itertools
import math
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.ops.dtype import widened
from cnnjax.ops.pool.problem import PoolProblem, lowest
from cnnjax.ops.taps import scatter_taps, tap_slices


def max_and_which(x, problem: PoolProblem) -> tuple[jax.Array, jax.Array]:
    """The maximum of each window and the index of the tap that holds it first."""
    slices = tap_slices(x, problem.taps, problem.window, lowest(x.dtype))
    best = next(slices)
    last = max(math.prod(problem.taps) - 1, 0)
    which = jnp.zeros(best.shape, np.min_scalar_type(last))
    for number, value in enumerate(slices, start=1):
        wins = (value > best) | ((value != value) & (best == best))
        best = jnp.where(wins, value, best)
        which = jnp.where(wins, jnp.asarray(number, which.dtype), which)
    return best, which


def place(dy, which, problem: PoolProblem) -> jax.Array:
    """Puts each value at the tap of its window that ``which`` names, and adds up."""
    taps = problem.taps
    if _windows_tile(problem):  # XLA on a CPU vectorizes this, not the sums
        numbers = jnp.arange(math.prod(taps), dtype=which.dtype)
        numbers = numbers.reshape(1, *(n for k in taps for n in (1, k)), 1)
        chosen = jnp.where(_at_taps(which, taps) == numbers, _at_taps(dy, taps), 0)
        return _joined(chosen, problem.sizes)
    # Sums are at least float32; and XLA on a CPU interleaves bfloat16 13 times slower.
    wide = widened(dy)
    chosen = (jnp.where(which == number, wide, 0) for number in range(math.prod(taps)))
    placed = scatter_taps(chosen, taps, problem.window, problem.sizes)
    return placed.astype(dy.dtype)


def pick(x, which, problem: PoolProblem) -> jax.Array:
    """Takes the tap that ``which`` names: the transpose of ``place``."""
    slices = tap_slices(x, problem.taps, problem.window, 0)
    y = next(slices)
    for number, value in enumerate(slices, start=1):
        y = jnp.where(which == number, value, y)
    return y


def window_sum(x, problem: PoolProblem) -> jax.Array:
    """The sum of each window."""
    return reduce(jnp.add, tap_slices(x, problem.taps, problem.window, 0))


def spread(dy, problem: PoolProblem) -> jax.Array:
    """Adds each value to all taps of its window: the transpose of ``window_sum``."""
    if _windows_tile(problem):
        return _joined(_at_taps(dy, problem.taps), problem.sizes)
    values = itertools.repeat(dy, math.prod(problem.taps))
    return scatter_taps(values, problem.taps, problem.window, problem.sizes)


def _windows_tile(problem):
    """Whether each pixel of the image lies in exactly one window."""
    taps, window = problem.taps, problem.window
    axes = zip(problem.sizes, taps, window.padding, strict=True)
    whole = all(n % k == 0 and low == 0 and 0 <= high < k for n, k, (low, high) in axes)
    return whole and window.strides == taps and max(window.dilation) == 1


def _at_taps(y, taps):
    """Each value once per tap, ``(n, p1, k1, p2, k2, c)``."""
    y = jnp.expand_dims(y, tuple(range(2, 2 * len(taps) + 1, 2)))
    shape = list(y.shape)
    shape[2:-1:2] = taps
    return jnp.broadcast_to(y, shape)


def _joined(y, sizes):
    """``(n, p1, k1, p2, k2, c) -> (n, *sizes, c)``.

    JAX merges at most two axes at a time of an array with an explicit sharding.
    """
    for axis, size in enumerate(sizes, start=1):
        y = y.reshape(*y.shape[:axis], size, *y.shape[axis + 2 :])
    return y
