"""Layer and group normalization: each example by its own moments."""

from collections.abc import Sequence

import jax

from cnnjax.ops.norm.batch import per_last_axis
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
    """Normalizes ``x (..., channels)`` over ``axes``, for each example by itself.

    Args:
        x: any shape.
        scale: ``(channels,)``.
        bias: ``(channels,)``.
        axes: what to take the moments over.
        epsilon: keeps the root of the variance away from 0.
        use_fast_variance: see ``moments``.
    """
    mean, variance = moments(x, axes, fast=use_fast_variance)
    return normalize(
        x,
        mean,
        variance,
        per_last_axis(scale, x),
        per_last_axis(bias, x),
        epsilon=epsilon,
    )


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
        groups: equal parts of the channels.
        epsilon: keeps the root of the variance away from 0.
        use_fast_variance: see ``moments``.

    Raises:
        ValueError: channels that cannot be split into ``groups``.
    """
    channels = x.shape[-1]
    if groups < 1 or channels % groups:
        raise ValueError(f"groups is {groups}, expected a divisor of {channels}")
    parts = (groups, channels // groups)
    grouped = x.reshape(*x.shape[:-1], *parts)
    axes = (*range(1, x.ndim - 1), -1)
    mean, variance = moments(grouped, axes, fast=use_fast_variance)
    shape = (*[1] * (x.ndim - 1), *parts)
    scale, bias = (
        per_last_axis(scale, x).reshape(shape),
        per_last_axis(bias, x).reshape(shape),
    )
    y = normalize(grouped, mean, variance, scale, bias, epsilon=epsilon)
    return y.reshape(x.shape)
