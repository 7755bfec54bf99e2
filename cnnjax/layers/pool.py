"""Pooling with flax.linen's signatures, around ``cnnjax.ops``.

Inputs that are not floating-point have no gradient; Flax's own functions handle them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen

from cnnjax import ops
from cnnjax.typing import Padding

flax: Any = linen  # because it has no type annotations


def max_pool(
    inputs: jax.Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> jax.Array:
    """The maximum of each window, as ``flax.linen.max_pool``.

    Args:
        inputs: ``(*batch, *spatial, channels)``.
        window_shape: the window's size on each spatial axis.
        strides: positions from one window to the next; ``None`` means 1.
        padding: ``"SAME"``, ``"VALID"`` or a pair (before, after) for each axis.

    Returns:
        ``(*batch, *positions, channels)``.
    """
    if not jnp.issubdtype(inputs.dtype, jnp.floating):
        return flax.max_pool(inputs, window_shape, strides, padding)

    def pool(x):
        return ops.max_pool(x, window_shape, strides=strides, padding=padding)

    return _over_batch_axes(pool, inputs, len(window_shape))


def avg_pool(
    inputs: jax.Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
    count_include_pad: bool = True,
) -> jax.Array:
    """The mean of each window, as ``flax.linen.avg_pool``.

    Args:
        inputs: ``(*batch, *spatial, channels)``.
        window_shape: the window's size on each spatial axis.
        strides: positions from one window to the next; ``None`` means 1.
        padding: ``"SAME"``, ``"VALID"`` or a pair (before, after) for each axis.
        count_include_pad: whether the mean includes the zeros of the padding.

    Returns:
        ``(*batch, *positions, channels)``.
    """
    if not jnp.issubdtype(inputs.dtype, jnp.floating):
        return flax.avg_pool(inputs, window_shape, strides, padding, count_include_pad)

    def pool(x):
        return ops.avg_pool(
            x,
            window_shape,
            strides=strides,
            padding=padding,
            count_include_pad=count_include_pad,
        )

    return _over_batch_axes(pool, inputs, len(window_shape))


def _over_batch_axes(
    pool: Callable[[jax.Array], jax.Array], inputs: jax.Array, rank: int
) -> jax.Array:
    """Applies ``pool`` with all batch axes (none, one or several) merged into one."""
    batch = inputs.shape[: inputs.ndim - rank - 1]
    y = pool(inputs.reshape(-1, *inputs.shape[len(batch) :]))
    return y.reshape(*batch, *y.shape[1:])
