"""The layers with ReLU in the same operation have the same tree and values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from cnnjax import layers as nn


class Block(nn.Module):
    """A convolution and a normalization, with ReLU apart or in the layers."""

    module: object
    together: bool
    train: bool = True

    @nn.compact
    def __call__(self, x):
        conv = self.module.Conv(12, (3, 3))
        norm = self.module.BatchNorm(not self.train, momentum=0.9)
        if self.together:
            y = conv.and_relu(x)
            return norm.and_relu(y, add=y, largest=1.5)
        y = linen.relu(conv(x))
        return jnp.minimum(linen.relu(norm(y) + y), 1.5)


@pytest.mark.slow
@pytest.mark.parametrize("train", [True, False])
def test_tree_values_gradients_and_statistics_are_those_of_flax(train):
    x = jnp.sin(jnp.arange(4 * 9 * 7 * 5.0)).reshape(4, 9, 7, 5)
    ours, theirs = Block(nn, True, train), Block(linen, False, train)
    variables = theirs.init(jax.random.key(0), x)
    mine = ours.init(jax.random.key(0), x)
    assert jax.tree.structure(mine) == jax.tree.structure(variables)

    def of(model):
        def loss(params, x):
            y, new = model.apply(
                {**variables, "params": params}, x, mutable=["batch_stats"]
            )
            return jnp.sum(jnp.sin(3 * y)), new

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(variables["params"], x)

    pairs = zip(jax.tree.leaves(of(ours)), jax.tree.leaves(of(theirs)), strict=True)
    for a, b in pairs:
        # Flax's variance loses digits where a channel is nearly constant.
        assert np.abs(a - b).max() <= 1e-3 * np.abs(b).max()
