"""Dropout: ``y = x m / keep`` with a random mask m; ``dL/dx = dL/dy m / keep``.

The map is linear in x, so its gradient is the same map with the same mask (Srivastava
et al. 2014, "inverted" form: the mean of y is x).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from cnnjax.ops.gradient import custom_vjp, vary_alike


def dropout(
    key: jax.Array, x: jax.Array, rate: float, *, broadcast_dims: Sequence[int] = ()
) -> jax.Array:
    """Sets each value to zero with probability ``rate`` and scales the others up.

    Args:
        key: a JAX random key.
        x: any shape.
        rate: the probability that a value is dropped, 0 to 1.
        broadcast_dims: axes along which all values are kept or dropped together.

    Raises:
        ValueError: ``rate`` is not between 0 and 1.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"dropout rate is {rate}, expected 0 to 1")
    if rate == 0:
        return x
    if rate == 1:
        return jnp.zeros_like(x)
    shape = list(x.shape)
    for axis in broadcast_dims:
        shape[axis] = 1
    mask = jax.random.bernoulli(key, 1 - rate, shape)
    x, mask = vary_alike(x, jnp.broadcast_to(mask, x.shape))
    return keep(x, mask, 1 - float(rate))


@custom_vjp("probability", linear=("x",))
def keep(x: jax.Array, mask: jax.Array, probability: float) -> jax.Array:
    """``x / probability`` where ``mask`` is true, else 0."""
    return jnp.where(mask, x / probability, 0)


def _fwd(x, mask, probability):
    return keep(x, mask, probability), mask


def _bwd(probability, mask, dy):
    return keep(dy, mask, probability), None


keep.defvjp(_fwd, _bwd)
