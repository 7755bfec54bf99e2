"""Adding a bias to every position.

``y = x + b``, so ``dL/dx = dL/dy`` and ``dL/db = sum dL/dy``. The sum runs over all
axes but the last, that is over the batch and all positions.
"""

import jax
import jax.numpy as jnp

from cnnjax.ops import explicit
from cnnjax.ops.channels import per_channel
from cnnjax.ops.gradient import custom_vjp


@custom_vjp(linear=("x bias",))
def add_bias(x: jax.Array, bias: jax.Array) -> jax.Array:
    """Adds ``bias (channels,)`` to ``x (..., channels)`` of the same dtype."""
    return x + per_channel(bias, x.ndim)


def _fwd(x, bias):
    return add_bias(x, bias), None


def _bwd(_, dy):
    if explicit.is_symbolic(dy.shape):  # JAX may not know that their product is >= 0
        return dy, jnp.sum(dy, axis=tuple(range(dy.ndim - 1)))
    return dy, jnp.sum(dy.reshape(-1, dy.shape[-1]), axis=0)


add_bias.defvjp(_fwd, _bwd)
