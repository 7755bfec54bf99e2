"""Arrays with one value per channel, reshaped for arithmetic with images."""

import jax
import jax.numpy as jnp


def per_channel(array: jax.Array, ndim: int) -> jax.Array:
    """``(channels,)`` with axes of size 1 in front, ``ndim`` in all.

    JAX adds these axes by itself, unless it is set to refuse arrays of different ranks
    (``jax_numpy_rank_promotion``).
    """
    return jnp.expand_dims(array, tuple(range(ndim - 1)))
