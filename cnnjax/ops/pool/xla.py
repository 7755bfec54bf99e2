"""The maps of the poolings as operations of XLA.

They take one slice of the image per tap. Backwards, where the windows tile the image,
they share each value among its taps in one broadcast.
"""

import itertools
import math
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnjax.ops.dtype import widened
from cnnjax.ops.taps import scatter_taps, tap_slices, windows_tile


def max_and_which(x, taps, window, sizes) -> tuple[jax.Array, jax.Array]:
    """The maximum of each window and the number of the tap that holds it first."""
    slices = tap_slices(x, taps, window, _lowest(x.dtype))
    best = next(slices)
    which = jnp.zeros(best.shape, np.min_scalar_type(max(math.prod(taps) - 1, 0)))
    for number, value in enumerate(slices, start=1):
        wins = (value > best) | ((value != value) & (best == best))
        best = jnp.where(wins, value, best)
        which = jnp.where(wins, jnp.asarray(number, which.dtype), which)
    return best, which


def place(dy, which, taps, window, sizes) -> jax.Array:
    """Puts each value at the tap of its window that ``which`` names, and adds up."""
    if windows_tile(taps, window, sizes):  # XLA on a CPU vectorizes this, not the sums
        numbers = jnp.arange(math.prod(taps), dtype=which.dtype)
        numbers = numbers.reshape(1, *(n for k in taps for n in (1, k)), 1)
        chosen = jnp.where(_at_taps(which, taps) == numbers, _at_taps(dy, taps), 0)
        return _joined(chosen, sizes)
    # Sums are float32 at least; and XLA on a CPU interleaves bfloat16 13 times slower.
    wide = widened(dy)
    chosen = (jnp.where(which == number, wide, 0) for number in range(math.prod(taps)))
    return scatter_taps(chosen, taps, window, sizes).astype(dy.dtype)


def pick(x, which, taps, window, sizes) -> jax.Array:
    """Takes the tap that ``which`` names: the transpose of ``place``."""
    slices = tap_slices(x, taps, window, 0)
    y = next(slices)
    for number, value in enumerate(slices, start=1):
        y = jnp.where(which == number, value, y)
    return y


def window_sum(x, taps, window, sizes) -> jax.Array:
    """The sum of each window."""
    return reduce(jnp.add, tap_slices(x, taps, window, 0))


def spread(dy, taps, window, sizes) -> jax.Array:
    """Adds each value to all taps of its window: the transpose of ``window_sum``."""
    if windows_tile(taps, window, sizes):
        return _joined(_at_taps(dy, taps), sizes)
    return scatter_taps(itertools.repeat(dy, math.prod(taps)), taps, window, sizes)


def _at_taps(y, taps):
    """Each value once per tap, ``(n, p1, k1, p2, k2, c)``."""
    y = jnp.expand_dims(y, tuple(range(2, 2 * len(taps) + 1, 2)))
    shape = list(y.shape)
    shape[2:-1:2] = taps
    return jnp.broadcast_to(y, shape)


def _joined(y, sizes):
    """``(n, p1, k1, p2, k2, c) -> (n, *sizes, c)``.

    Of arrays with an explicit sharding, JAX joins no more than two axes at a time.
    """
    for axis, size in enumerate(sizes, start=1):
        y = y.reshape(*y.shape[:axis], size, *y.shape[axis + 2 :])
    return y


def stock_max(x, taps, window, sizes):
    """The maximum of each window, for JAX to differentiate."""
    if max(window.dilation) > 1:  # JAX has no gradient for it; selections have one
        return max_and_which(x, taps, window, sizes)
    y = lax.reduce_window(
        x,
        np.asarray(_lowest(x.dtype), x.dtype),
        lax.max,
        (1, *taps, 1),
        (1, *window.strides, 1),
        ((0, 0), *window.padding, (0, 0)),
        window_dilation=(1, *window.dilation, 1),
    )
    return y, None


def _lowest(dtype) -> float:
    """The lowest value of a dtype; some kinds of float8 have no infinity."""
    lowest = float(np.asarray(-np.inf).astype(dtype))
    return lowest if lowest == -np.inf else float(jnp.finfo(dtype).min)


def stock_sum(x, taps, window, sizes):
    """The sum of each window, for JAX to differentiate."""
    return lax.reduce_window(
        x,
        0.0,
        lax.add,
        (1, *taps, 1),
        (1, *window.strides, 1),
        ((0, 0), *window.padding, (0, 0)),
        window_dilation=(1, *window.dilation, 1),
    )
