"""Softmax and its logarithm with flax.linen's signatures around ``cnnjax.ops``."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpy.lib.array_utils import normalize_axis_tuple

from cnnjax import ops
from cnnjax.typing import Array


def softmax(x: jax.Array, axis: Any = -1, where: Array | None = None) -> jax.Array:
    """Probabilities along ``axis``, as ``jax.nn.softmax``.

    Args:
        x: any shape.
        axis: one axis, or several that are treated as one.
        where: broadcastable to ``x``; where it is false, the result is 0.
    """
    return _along(ops.softmax, x, axis, where, 0)


def log_softmax(x: jax.Array, axis: Any = -1, where: Array | None = None) -> jax.Array:
    """Logarithms of probabilities along ``axis``, as ``jax.nn.log_softmax``.

    Args:
        x: any shape.
        axis: one axis, or several that are treated as one.
        where: broadcastable to ``x``; where it is false, the result is -inf.
    """
    return _along(ops.log_softmax, x, axis, where, -jnp.inf)


def _along(function: Callable, x, axis, where, left_out):
    """Applies a function of the last axis along other axes."""
    if where is not None:
        x = jnp.where(where, x, -jnp.inf)
    every = range(x.ndim) if axis is None else axis
    axes = normalize_axis_tuple(every, x.ndim, "axis")
    last = tuple(range(-len(axes), 0))
    moved = jnp.moveaxis(x, axes, last)
    shape = moved.shape
    rest = shape[: x.ndim - len(axes)]
    flat = moved.reshape(*rest, math.prod(shape[len(rest) :]))
    y = function(flat).reshape(shape) if x.size else moved
    y = jnp.moveaxis(y, last, axes)
    return y if where is None else jnp.where(where, y, left_out)
