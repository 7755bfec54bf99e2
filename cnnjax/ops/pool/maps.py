"""Max-pooling and average-pooling, and where their gradients flow.

* Max: ``y_o = max_k x_(s o + d k - p)``. The gradient flows only to the maximum of each
  window, on ties to the first one in row-major order, as in JAX, PyTorch and TensorFlow
  on a CPU. The forward pass stores *which* tap k holds the maximum (one byte); the
  backward pass places ``dL/dy_o`` at that tap, and overlapping windows add up. A NaN
  counts as a maximum. A TPU has both steps in hardware, and the second one finds the
  maximum of x again.
* Average: ``y_o = (1/K) sum_k x_(s o + d k - p)``; each ``dL/dy_o / K`` is spread
  evenly over its window.
"""

import math
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.native import pool as native
from cnnjax.ops import choice, explicit
from cnnjax.ops.backend import Backend
from cnnjax.ops.dtype import widened
from cnnjax.ops.gradient import custom_vjp
from cnnjax.ops.pool import reduce_window, xla
from cnnjax.ops.pool.choose import plan
from cnnjax.ops.pool.problem import PoolProblem, make_problem, stages
from cnnjax.typing import Padding, Sizes

Whichs: TypeAlias = tuple[jax.Array, ...]
"""For each stage of a pooling, the tap of each window that holds the maximum."""

_MODULES: dict[str, Any] = {
    "native": native,
    "xla": xla,
    "reduce_window": reduce_window,
}
"""The modules that offer the maps. Any, because only two offer all of them."""


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
        strides: distance from one window to the next.
        padding: ``"SAME"``, ``"SAME_LOWER"``, ``"VALID"`` or numbers, as in ``conv``.
        dilation: distance between two taps.
        backend: as in ``cnnjax.ops.backend``; ``None`` is the current one.

    Returns:
        ``(batch, *positions, channels)``.

    Raises:
        ValueError: sizes that do not fit together, or an output without positions;
            or ``backend`` is ``"native"`` and cannot compute this.
    """
    x = jnp.asarray(x)
    problem = make_problem(x, window, strides, padding, dilation, backend)
    return max_and_which(x, problem)[0]


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
        strides: distance from one window to the next.
        padding: ``"SAME"``, ``"SAME_LOWER"``, ``"VALID"`` or numbers, as in ``conv``.
        count_include_pad: whether padding counts as zeros or is left out of the mean.
        backend: as in ``cnnjax.ops.backend``; ``None`` is the current one.

    Returns:
        ``(batch, *positions, channels)``.

    Raises:
        ValueError: sizes that do not fit together, or an output without positions;
            or ``backend`` is ``"native"`` and cannot compute this.
    """
    x = jnp.asarray(x)
    problem = make_problem(x, window, strides, padding, backend=backend)
    count = math.prod(problem.taps)
    if not count_include_pad:
        count = _pixels_under_each_window(problem).astype(x.dtype)
    wide = widened(x)
    y = window_sum(wide, problem._replace(dtype=wide.dtype))
    return (y / count).astype(x.dtype)


def _stock_max(x, problem):
    if max(problem.window.dilation) > 1:  # JAX has no gradient for it; selections do
        return _max_and_which(x, _stages_in_xla(problem))
    return reduce_window.maximum(x, problem), None


def _stock_place(dy, whichs, x, problem):
    return _place(dy, whichs, x, _stages_in_xla(problem))


def _stock_spread(dy, problem):
    return _spread(dy, _stages_in_xla(problem))


@custom_vjp("problem", stock=_stock_max)
def max_and_which(x, problem: PoolProblem) -> tuple[jax.Array, Whichs]:
    """The maximum of each window; and for each stage, which tap holds it first."""
    return _run(_max_and_which, "max_and_which", problem, x)


@custom_vjp("problem", stock=_stock_place, linear=("dy",))
def place(dy, whichs: Whichs, x, problem: PoolProblem) -> jax.Array:
    """Adds each value to the maximum of its window of ``x``, where ``whichs`` is."""
    return _run(_place, "place", problem, dy, whichs, x)


@custom_vjp("problem", linear=("g",))
def pick(g, whichs: Whichs, x, problem: PoolProblem) -> jax.Array:
    """Takes of g the maximum of each window of ``x``: the transpose of ``place``."""
    for part, which in zip(stages(problem), whichs, strict=True):
        g = xla.pick(g, which, part)
    return g


@custom_vjp("problem", stock=reduce_window.window_sum, linear=("x",))
def window_sum(x, problem: PoolProblem) -> jax.Array:
    """The sum of each window."""
    return _run(_window_sum, "window_sum", problem, x)


@custom_vjp("problem", stock=_stock_spread, linear=("dy",))
def spread(dy, problem: PoolProblem) -> jax.Array:
    """Adds each value to all taps of its window: the transpose of ``window_sum``."""
    return _run(_spread, "spread", problem, dy)


def _run(function, name, problem, *arrays):
    """The map called ``name``: ``function`` of a plan for each platform."""
    obstacle = explicit.refusal(*jax.tree.leaves(arrays))
    plans = {}
    for platform in choice.PLATFORMS:
        steps = plan(problem, name, platform, obstacle)
        plans[platform] = tuple((part, chosen.implementation) for part, chosen in steps)
    functions = {steps: partial(function, steps=steps) for steps in plans.values()}
    return choice.run(plans, functions, *arrays)


def _max_and_which(x, steps):
    (problem, name), *_ = steps
    if name == "reduce_window":
        # The numbers of the taps are not computed unless something needs them.
        _, whichs = _max_and_which(x, _stages_in_xla(problem))
        return reduce_window.maximum(x, problem), whichs
    whichs = []
    for part, name in steps:
        x, which = _MODULES[name].max_and_which(x, part)
        whichs.append(which)
    return x, tuple(whichs)


def _place(dy, whichs, x, steps):
    (problem, name), *_ = steps
    if name == "select_and_scatter":
        return reduce_window.place(dy, x, problem)
    for (part, name), which in zip(steps[::-1], whichs[::-1], strict=True):
        dy = _MODULES[name].place(dy, which, part)
    return dy


def _window_sum(x, steps):
    for part, name in steps:
        x = _MODULES[name].window_sum(x, part)
    return x


def _spread(dy, steps):
    for part, name in steps[::-1]:
        dy = _MODULES[name].spread(dy, part)
    return dy


def _stages_in_xla(problem):
    return tuple((part, "xla") for part in stages(problem))


def _max_fwd(x, problem):
    best, whichs = max_and_which(x, problem._replace(for_gradient=True))
    return (best, whichs), (whichs, x)


def _max_bwd(problem, residuals, cotangents):
    whichs, x = residuals
    return (place(cotangents[0], whichs, x, problem),)


def _place_fwd(dy, whichs, x, problem):
    return place(dy, whichs, x, problem), (whichs, x)


def _place_bwd(problem, residuals, g):
    return pick(g, *residuals, problem), None, None


def _pick_fwd(g, whichs, x, problem):
    return pick(g, whichs, x, problem), (whichs, x)


def _pick_bwd(problem, residuals, g):
    return place(g, *residuals, problem), None, None


max_and_which.defvjp(_max_fwd, _max_bwd)
place.defvjp(_place_fwd, _place_bwd)
pick.defvjp(_pick_fwd, _pick_bwd)
window_sum.defvjp(
    lambda x, problem: (window_sum(x, problem), None),
    lambda problem, _, dy: (spread(dy, problem),),
)
spread.defvjp(
    lambda dy, problem: (spread(dy, problem), None),
    lambda problem, _, g: (window_sum(g, problem),),
)


def _pixels_under_each_window(problem):
    """How many pixels of the image each window covers, ``(1, *positions, 1)``."""
    if explicit.is_symbolic(problem.sizes):
        count = jnp.ones((1, *problem.sizes, 1))
        for part in stages(problem):
            count = xla.window_sum(count, part)
        return count
    window, total = problem.window, np.ones(())
    for n, k, s, (low, high) in zip(
        problem.sizes, problem.taps, window.strides, window.padding, strict=True
    ):
        starts = np.arange((n + low + high - k) // s + 1) * s - low
        inside = np.minimum(starts + k, n) - np.maximum(starts, 0)
        total = total[..., None] * np.maximum(inside, 0)
    return jnp.asarray(total[None, ..., None])
