"""The dropout layer: flax.linen's random keys around ``cnnjax.ops.dropout``."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnnjax import ops


class Dropout(nn.Dropout):
    """Random zeros in training, with the constructor and keys of Flax's ``Dropout``."""

    @nn.compact
    def __call__(
        self,
        inputs: jax.Array,
        deterministic: bool | None = None,
        rng: jax.Array | None = None,
    ) -> jax.Array:
        """Drops values of ``inputs``, of any shape.

        Args:
            inputs: the values.
            deterministic: ``True`` returns the inputs unchanged. Set it here or in the
                constructor, but not in both.
            rng: a random key; default: one from the collection ``rng_collection``.
        """
        deterministic = nn.merge_param(
            "deterministic", self.deterministic, deterministic
        )
        if deterministic or self.rate == 0:
            return inputs
        if self.rate == 1:
            return jnp.zeros_like(inputs)
        if rng is None:
            rng = self.make_rng(self.rng_collection)
        return ops.dropout(rng, inputs, self.rate, broadcast_dims=self.broadcast_dims)
