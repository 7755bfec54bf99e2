"""The maps of the poolings over whole windows, in XLA's operations for them.

A TPU has them in hardware: ``reduce_window`` for the maximum and the sum, and
``select_and_scatter``, which finds the maximum of x again and adds ``dL/dy`` there. Of
equal values it takes the first, and a NaN counts as a maximum. Unlike the other
implementations, it never takes a tap in the padding, not even where all of x in a
window is -inf; and bfloat16 is summed as such.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap

from cnnjax.ops import padding as pads
from cnnjax.ops.gradient import vary_alike
from cnnjax.ops.pool.problem import PoolProblem, lowest


def maximum(x: jax.Array, problem: PoolProblem) -> jax.Array:
    """The maximum of each window."""
    start = np.asarray(lowest(x.dtype), x.dtype)
    return _reduce_windows(x, start, lax.max, problem)


def window_sum(x: jax.Array, problem: PoolProblem) -> jax.Array:
    """The sum of each window."""
    return _reduce_windows(x, 0.0, lax.add, problem)


def spread(dy: jax.Array, problem: PoolProblem) -> jax.Array:
    """Adds each value to all taps of its window: the transpose of ``window_sum``.

    The value of each pixel is a sum over the windows that cover it, with zeros between
    the values of dy where the windows are several pixels apart.
    """
    window, config = problem.window, []
    covered = pads.span(problem.taps, window.dilation)
    for n, k, count, s, (low, _) in zip(
        *(problem.sizes, covered, dy.shape[1:-1], window.strides, window.padding),
        strict=True,
    ):
        before = k - 1 - low
        config.append((before, n + k - 1 - before - ((count - 1) * s + 1), s - 1))
    zero = np.zeros((), dy.dtype)
    wide = lax.pad(dy, zero, [(0, 0, 0), *config, (0, 0, 0)])
    once = window._replace(strides=(1,) * len(config), padding=((0, 0),) * len(config))
    return window_sum(wide, problem._replace(window=once))


def place(dy: jax.Array, x: jax.Array, problem: PoolProblem) -> jax.Array:
    """Adds each value to the first maximum of its window of ``x``.

    Other compilers than that of TPUs take padding for pixels of value 0.
    """
    return lax.platform_dependent(
        *(dy, x),
        tpu=partial(_scatter, problem=problem, padding=problem.window.padding),
        default=partial(_pad_and_scatter, problem=problem),
    )


def _pad_and_scatter(dy, x, problem):
    pairs = ((0, 0), *problem.window.padding, (0, 0))
    start = np.asarray(lowest(x.dtype), x.dtype)
    wide = lax.pad(x, start, [(low, high, 0) for low, high in pairs])
    dx = _scatter(dy, wide, problem, ((0, 0),) * len(problem.taps))
    first = [low for low, _ in pairs]
    return lax.slice(dx, first, [i + n for i, n in zip(first, x.shape, strict=True)])


def _scatter(dy, x, problem, padding):
    zero = np.zeros((), x.dtype)
    select = jax.make_jaxpr(_stays)(zero, zero).jaxpr
    add = jax.make_jaxpr(lax.add)(zero, zero).jaxpr

    @custom_vmap  # JAX has no rule for this operation
    def scatter(dy, x):
        return lax.select_and_scatter_p.bind(
            *vary_alike(x, dy, jnp.asarray(zero)),
            select_jaxpr=select,
            select_consts=(),
            scatter_jaxpr=add,
            scatter_consts=(),
            window_dimensions=(1, *problem.taps, 1),
            window_strides=(1, *problem.window.strides, 1),
            padding=((0, 0), *padding, (0, 0)),
        )

    @scatter.def_vmap
    def _(size, batched, *arrays):  # the mapped axis becomes part of the batch
        pairs = zip(arrays, batched, strict=True)
        arrays = [a if b else jnp.stack([a] * size) for a, b in pairs]
        shape = arrays[1].shape
        dx = scatter(*(a.reshape(-1, *a.shape[2:]) for a in arrays))
        return dx.reshape(shape), True

    return scatter(dy, x)


def _stays(chosen, value):
    """Whether the pixel that was chosen so far remains the maximum."""
    return (chosen >= value) | (chosen != chosen)


def _reduce_windows(x, start, combine, problem):
    window = problem.window
    return lax.reduce_window(
        x,
        start,
        combine,
        (1, *problem.taps, 1),
        (1, *window.strides, 1),
        ((0, 0), *window.padding, (0, 0)),
        window_dilation=(1, *window.dilation, 1),
    )
