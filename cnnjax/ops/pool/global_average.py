"""The mean over all positions: ``y = (1/K) sum_i x_i``, ``dL/dx_i = dL/dy / K``."""

import math

import jax
import jax.numpy as jnp

from cnnjax.ops.gradient import custom_vjp


def global_avg_pool(x: jax.Array) -> jax.Array:
    """The mean of each channel over all positions.

    Args:
        x: ``(batch, *spatial, channels)``.

    Returns:
        ``(batch, channels)``.

    Raises:
        ValueError: an ``x`` without positions.
    """
    sizes = x.shape[1:-1]
    if not sizes or 0 in sizes:
        raise ValueError(
            f"x has shape {x.shape}, expected (batch, *spatial, channels) with at least"
            " one position"
        )
    return _mean(x, sizes)


@custom_vjp("sizes", linear=("x",))
def _mean(x, sizes):
    return jnp.mean(x, axis=tuple(range(1, 1 + len(sizes))))


@custom_vjp("sizes", linear=("dy",))
def _spread(dy, sizes):
    """Each value over K, at all K positions: the transpose of the mean."""
    share = dy / math.prod(sizes)
    shape = (dy.shape[0], *[1] * len(sizes), dy.shape[-1])
    return jnp.broadcast_to(share.reshape(shape), (dy.shape[0], *sizes, dy.shape[-1]))


_mean.defvjp(
    lambda x, sizes: (_mean(x, sizes), None),
    lambda sizes, _, dy: (_spread(dy, sizes),),
)
_spread.defvjp(
    lambda dy, sizes: (_spread(dy, sizes), None),
    lambda sizes, _, g: (_mean(g, sizes),),
)
