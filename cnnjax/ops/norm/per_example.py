"""Layer and group normalization: each example by its own moments."""

from collections.abc import Sequence

import jax

from cnnjax.ops.norm.batch import as_last_axis
from cnnjax.ops.norm.maps import moments, normalize


def layer_norm(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    *,
    axes: Sequence[int] = (-1,),
    epsilon: float = 1e-6,
    use_fast_variance: bool = True,
) -> jax.Array:
    """Normalizes ``x (..., channels)`` over ``axes``, by default each position alone.

    Args:
        x: any shape, the channels last.
        scale: ``(channels,)``.
        bias: ``(channels,)``.
        axes: the axes that the moments are taken over.
        epsilon: added to the variance before the root is taken.
        use_fast_variance: ``fast`` in ``cnnjax.ops.norm.maps.moments``.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        ValueError: a scale or bias without one value per channel.
    """
    mean, variance = moments(x, axes, fast=use_fast_variance)
    scale, bias = as_last_axis(x, scale=scale, bias=bias)
    return normalize(x, mean, variance, scale, bias, epsilon=epsilon)


def group_norm(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    *,
    groups: int,
    epsilon: float = 1e-6,
    use_fast_variance: bool = True,
) -> jax.Array:
    """Normalizes each example over all positions and the channels of each group.

    Args:
        x: ``(batch, *spatial, channels)``.
        scale: ``(channels,)``.
        bias: ``(channels,)``.
        groups: how many equal parts the channels are split into.
        epsilon: added to the variance before the root is taken.
        use_fast_variance: ``fast`` in ``cnnjax.ops.norm.maps.moments``.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        ValueError: channels that cannot be split into ``groups``.
    """
    channels = x.shape[-1]
    if groups < 1 or channels % groups:
        raise ValueError(
            f"groups is {groups}, expected a divisor of {channels}, the channels of x"
        )
    parts = (groups, channels // groups)
    grouped = x.reshape(*x.shape[:-1], *parts)
    axes = (*range(1, x.ndim - 1), -1)
    mean, variance = moments(grouped, axes, fast=use_fast_variance)
    shape = (*[1] * (x.ndim - 1), *parts)
    rows = as_last_axis(x, scale=scale, bias=bias)
    scale, bias = (row.reshape(shape) for row in rows)
    y = normalize(grouped, mean, variance, scale, bias, epsilon=epsilon)
    return y.reshape(x.shape)
