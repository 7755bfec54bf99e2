"""Max-pooling and average-pooling, and where their gradients flow.

* Max: ``y_o = max_k x_(s o + d k - p)``. The gradient flows only to the maximum of each
  window, on ties to the first one in row-major order, as in JAX, PyTorch and TensorFlow
  on a CPU. The forward pass stores *which* tap k holds the maximum (one byte); the
  backward pass places ``dL/dy_o`` at that tap, and overlapping windows add up. A NaN
  counts as a maximum.
* Average: ``y_o = (1/K) sum_k x_(s o + d k - p)``; each ``dL/dy_o / K`` is spread
  evenly over its window.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.native import pool as native
from cnnjax.ops import choice, explicit
from cnnjax.ops.backend import Backend
from cnnjax.ops.dtype import widened
from cnnjax.ops.gradient import custom_vjp
from cnnjax.ops.pool import xla
from cnnjax.ops.pool.choose import choose
from cnnjax.ops.pool.problem import PoolProblem, make_problem, stages
from cnnjax.typing import Padding, Sizes


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
    for part in stages(make_problem(x, window, strides, padding, dilation, backend)):
        x, _ = max_and_which(x, part)
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
    y = widened(x)
    for part in stages(problem._replace(dtype=y.dtype)):
        y = window_sum(y, part)
    return (y / count).astype(x.dtype)


@custom_vjp("problem", stock=xla.stock_max)
def max_and_which(x, problem: PoolProblem) -> tuple[jax.Array, jax.Array]:
    """The maximum of each window and the index of the tap that holds it first."""
    maps = {"native": native.max_and_which, "xla": xla.max_and_which}
    return _run("max_and_which", maps, problem, x)


@custom_vjp("problem", stock=xla.place, linear=("dy",))
def place(dy, which, problem: PoolProblem) -> jax.Array:
    """Puts each value at the tap of its window that ``which`` names, and adds up."""
    maps = {"native": native.place, "xla": xla.place}
    return _run("place", maps, problem, dy, which)


@custom_vjp("problem", linear=("x",))
def pick(x, which, problem: PoolProblem) -> jax.Array:
    """Takes the tap that ``which`` names: the transpose of ``place``."""
    return xla.pick(x, which, problem)


@custom_vjp("problem", stock=xla.stock_sum, linear=("x",))
def window_sum(x, problem: PoolProblem) -> jax.Array:
    """The sum of each window."""
    maps = {"native": native.window_sum, "xla": xla.window_sum}
    return _run("window_sum", maps, problem, x)


@custom_vjp("problem", stock=xla.spread, linear=("dy",))
def spread(dy, problem: PoolProblem) -> jax.Array:
    """Adds each value to all taps of its window: the transpose of ``window_sum``."""
    return _run("spread", {"native": native.spread, "xla": xla.spread}, problem, dy)


def _run(name, implementations, problem, *arrays):
    """The map called ``name``, by the implementation chosen for each platform."""
    obstacle = explicit.refusal(*arrays)
    return choice.run(
        choose(problem, name, "cpu", obstacle),
        choose(problem, name, "accelerator", obstacle),
        {key: partial(f, problem=problem) for key, f in implementations.items()},
        *arrays,
    )


def _max_fwd(x, problem):
    best, which = max_and_which(x, problem)
    return (best, which), which


def _max_bwd(problem, which, cotangents):
    return (place(cotangents[0], which, problem),)


def _place_fwd(dy, which, problem):
    return place(dy, which, problem), which


def _place_bwd(problem, which, g):
    return pick(g, which, problem), None


def _pick_fwd(x, which, problem):
    return pick(x, which, problem), which


def _pick_bwd(problem, which, g):
    return place(g, which, problem), None


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
