"""Max-pooling and average-pooling, and where their gradients flow.

* Max: ``y_o = max_k x_(s o + d k - p)``. The gradient flows only to the maximum of each
  window, on ties to the first one in row-major order, as in JAX, PyTorch and TensorFlow
  on a CPU. The forward pass writes down *which* tap k won (one byte); backwards,
  ``dL/dy_o`` is placed at that tap and windows that overlap add up. A NaN counts as a
  maximum.
* Average: ``y_o = (1/K) sum_k x_(s o + d k - p)``; each ``dL/dy_o / K`` is spread
  evenly over its window.

Max and sum are separable, so a large window goes one axis at a time, the last axis
first (which keeps "first in row-major order").
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnjax.native import pool as native
from cnnjax.ops import explicit
from cnnjax.ops import padding as pads
from cnnjax.ops.backend import Backend, chosen_backend, refuse
from cnnjax.ops.dtype import widened
from cnnjax.ops.gradient import custom_vjp
from cnnjax.ops.pool import xla
from cnnjax.ops.taps import stages
from cnnjax.typing import Padding, Sizes, Window


def max_pool(
    x: jax.Array,
    window: Sizes,
    *,
    strides: Sizes = 1,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    backend: Backend | None = None,
) -> jax.Array:
    """The maximum of each window.

    Args:
        x: ``(batch, *spatial, channels)`` of a floating dtype.
        window: taps on each spatial axis.
        strides: positions from one window to the next.
        padding: as in ``conv``, ``SAME``, ``SAME_LOWER``, ``VALID`` or numbers alone.
        dilation: distance between two taps.
        backend: as in ``cnnjax.ops.backend``; ``None`` is the current one.

    Returns:
        ``(batch, *positions, channels)``.

    Raises:
        ValueError: sizes that do not go together, or an output without positions;
            or ``backend`` is ``"native"`` and cannot compute it.
    """
    x = jnp.asarray(x)
    for taps, part in stages(
        *_make_window(x, window, strides, padding, dilation, backend)
    ):
        x, _ = max_and_which(x, taps, part, x.shape[1:-1])
    return x


def avg_pool(
    x: jax.Array,
    window: Sizes,
    *,
    strides: Sizes = 1,
    padding: Padding = "VALID",
    count_include_pad: bool = True,
    backend: Backend | None = None,
) -> jax.Array:
    """The mean of each window.

    Args:
        x: ``(batch, *spatial, channels)`` of a floating dtype.
        window: taps on each spatial axis.
        strides: positions from one window to the next.
        padding: as in ``conv``: ``SAME``, ``SAME_LOWER``, ``VALID`` or numbers.
        count_include_pad: whether padding counts as zeros or is left out of the mean.
        backend: as in ``cnnjax.ops.backend``; ``None`` is the current one.

    Returns:
        ``(batch, *positions, channels)``.

    Raises:
        ValueError: sizes that do not go together, or an output without positions;
            or ``backend`` is ``"native"`` and cannot compute it.
    """
    x = jnp.asarray(x)
    taps, whole = _make_window(x, window, strides, padding, 1, backend)
    count = math.prod(taps)
    if not count_include_pad:
        count = _counts(x.shape[1:-1], taps, whole).astype(x.dtype)
    y = widened(x)
    for part_taps, part in stages(taps, whole):
        y = window_sum(y, part_taps, part, y.shape[1:-1])
    return (y / count).astype(x.dtype)


@custom_vjp("taps", "window", "sizes", stock=xla.stock_max)
def max_and_which(x, taps, window, sizes) -> tuple[jax.Array, jax.Array]:
    """The maximum of each window and the number of the tap that holds it first."""
    return _run("max_and_which", taps, window, sizes, x)


@custom_vjp("taps", "window", "sizes", stock=xla.place, linear=("dy",))
def place(dy, which, taps, window, sizes):
    """Puts each value at the tap of its window that ``which`` names, and adds up."""
    return _run("place", taps, window, sizes, dy, which)


@custom_vjp("taps", "window", "sizes", linear=("x",))
def pick(x, which, taps, window, sizes):
    """Takes the tap that ``which`` names: the transpose of ``place``."""
    return xla.pick(x, which, taps, window, sizes)


@custom_vjp("taps", "window", "sizes", stock=xla.stock_sum, linear=("x",))
def window_sum(x, taps, window, sizes):
    """The sum of each window."""
    return _run("window_sum", taps, window, sizes, x)


@custom_vjp("taps", "window", "sizes", stock=xla.spread, linear=("dy",))
def spread(dy, taps, window, sizes):
    """Adds each value to all taps of its window: the transpose of ``window_sum``."""
    return _run("spread", taps, window, sizes, dy)


def _run(name, taps, window, sizes, *arrays):
    """The map called ``name``; the first array has the dtype and the channels of x."""

    def of(implementation):
        function = getattr(implementation, name)
        return partial(function, taps=taps, window=window, sizes=sizes)

    dtype, channels = arrays[0].dtype, arrays[0].shape[-1]
    reason = explicit.refusal(*arrays) or native.refusal(taps, dtype)
    if window.backend == "native":
        if reason:
            arrays = f"{dtype} x of {sizes} positions with windows of {taps}"
            refuse(f"{name} of {arrays}", reason)
        return of(native)(*arrays)
    if window.backend == "xla" or reason or not native.is_fast(taps, channels):
        return of(xla)(*arrays)
    return lax.platform_dependent(*arrays, cpu=of(native), default=of(xla))


def _max_fwd(x, taps, window, sizes):
    best, which = max_and_which(x, taps, window, sizes)
    return (best, which), which


def _max_bwd(taps, window, sizes, which, cotangents):
    return (place(cotangents[0], which, taps, window, sizes),)


def _place_fwd(dy, which, taps, window, sizes):
    return place(dy, which, taps, window, sizes), which


def _place_bwd(taps, window, sizes, which, g):
    return pick(g, which, taps, window, sizes), None


def _pick_fwd(x, which, taps, window, sizes):
    return pick(x, which, taps, window, sizes), which


def _pick_bwd(taps, window, sizes, which, g):
    return place(g, which, taps, window, sizes), None


max_and_which.defvjp(_max_fwd, _max_bwd)
place.defvjp(_place_fwd, _place_bwd)
pick.defvjp(_pick_fwd, _pick_bwd)
window_sum.defvjp(
    lambda x, *static: (window_sum(x, *static), None),
    lambda taps, window, sizes, _, dy: (spread(dy, taps, window, sizes),),
)
spread.defvjp(
    lambda dy, *static: (spread(dy, *static), None),
    lambda taps, window, sizes, _, g: (window_sum(g, taps, window, sizes),),
)


def _make_window(x, window, strides, padding, dilation, backend=None):
    if not 3 <= x.ndim <= 5 or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"x is {x.dtype}{x.shape}, expected a floating (batch, *spatial, channels)"
            " with 1 to 3 spatial axes"
        )
    rank = x.ndim - 2
    taps = pads.per_axis(window, rank, "window")
    strides = pads.per_axis(strides, rank, "strides")
    dilation = pads.per_axis(dilation, rank, "dilation")
    covered = pads.span(taps, dilation)
    pairs = pads.padding_pairs(padding, x.shape[1:-1], covered, strides)
    pads.output_sizes(x.shape[1:-1], covered, strides, pairs)
    name = chosen_backend(backend)
    return taps, Window(strides, pairs, dilation, (1,) * rank, backend=name)


def _counts(sizes, taps, window):
    """How many pixels of the image each window covers, ``(1, *positions, 1)``."""
    if explicit.is_symbolic(sizes):
        count = jnp.ones((1, *sizes, 1))
        for part_taps, part in stages(taps, window):
            count = xla.window_sum(count, part_taps, part, count.shape[1:-1])
        return count
    total = np.ones(())
    for n, k, s, (low, high) in zip(
        sizes, taps, window.strides, window.padding, strict=True
    ):
        starts = np.arange((n + low + high - k) // s + 1) * s - low
        inside = np.minimum(starts + k, n) - np.maximum(starts, 0)
        total = total[..., None] * np.maximum(inside, 0)
    return jnp.asarray(total[None, ..., None])
