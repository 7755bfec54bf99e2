"""Pooling with flax.linen's signatures around ``cnnjax.ops``."""

from collections.abc import Callable, Sequence

import jax

from cnnjax import ops
from cnnjax.typing import Padding


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

    def pool(x):
        return ops.max_pool(x, window_shape, strides=strides or 1, padding=padding)

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
        count_include_pad: whether padding counts as zeros or is left out of the mean.

    Returns:
        ``(*batch, *positions, channels)``.
    """

    def pool(x):
        return ops.avg_pool(
            x,
            window_shape,
            strides=strides or 1,
            padding=padding,
            count_include_pad=count_include_pad,
        )

    return _over_batch_axes(pool, inputs, len(window_shape))


def _over_batch_axes(
    pool: Callable[[jax.Array], jax.Array], inputs: jax.Array, rank: int
) -> jax.Array:
    """Applies ``pool`` with all batch axes, none or several, as one."""
    batch = inputs.shape[: inputs.ndim - rank - 1]
    y = pool(inputs.reshape(-1, *inputs.shape[len(batch) :]))
    return y.reshape(*batch, *y.shape[1:])
