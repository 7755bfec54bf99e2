"""The stochastic depth layer: whole examples of a residual branch are dropped."""

import jax
from flax import linen as nn

from cnnjax.layers.dropout import Dropout


class StochasticDepth(nn.Module):
    """Leaves out a residual branch at random in training, for each example by itself.

    ``y = x m / keep`` with one m for each example, so that ``dL/dx = dL/dy m / keep``
    (Huang, Sun, Liu, Sedra and Weinberger 2016, arXiv:1603.09382): dropout with a mask
    that all values of an example share.

    Attributes:
        rate: the probability that an example's branch is dropped, 0 to 1.
        deterministic: whether nothing is dropped.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from cnnjax import layers as nn
        >>> drop = nn.StochasticDepth(0.5, deterministic=False)
        >>> y = drop.apply({}, jnp.ones((4, 2)), rngs={"dropout": jax.random.key(0)})
        >>> bool((y[:, 0] == y[:, 1]).all())
        True
    """

    rate: float
    deterministic: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Drops examples of ``x (batch, ...)`` and scales the others up."""
        axes = tuple(range(1, x.ndim))
        # Its key is that of the collection "dropout".
        return Dropout(self.rate, axes, self.deterministic)(x)
