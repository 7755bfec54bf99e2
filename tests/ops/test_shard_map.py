"""Gradients inside of ``jax.shard_map``, whose types tell a batch from a parameter.

One device is enough: the types are the same on any number of them.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from cnnjax import ops
from tests.support.ops.closeness import normal

SPLIT, WHOLE = PartitionSpec("devices"), PartitionSpec()


def make_mesh():
    one = jax.devices()[:1]
    return jax.make_mesh((1,), ("devices",), (AxisType.Auto,), devices=one)


def network(x, kernel, bias, matrix):
    """Every op that takes two arrays, one of them the same on all devices."""
    x = ops.max_pool(ops.relu(ops.conv(x, kernel, bias, padding="REFLECT")), 2)
    x = ops.dropout(jax.random.key(0), ops.avg_pool(x, 2), 0.5)
    logits = ops.dense(x.reshape(len(x), -1), matrix, bias)
    numbers, yes = jnp.zeros(len(x), int), jnp.ones(logits.shape)
    losses = ops.softmax_cross_entropy(logits, numbers, label_smoothing=0.1)
    return jnp.sum(losses) + jnp.sum(ops.sigmoid_binary_cross_entropy(logits, yes))


@pytest.mark.parametrize("check_vma", [True, False])
def test_gradients_are_those_outside(check_vma):
    rng = np.random.default_rng(0)
    shapes = (4, 5, 3), (3, 3, 2), (2,), (6, 2)
    args = [normal(rng, *shape, dtype=np.float32)[0] for shape in shapes]
    gradient = jax.grad(network, argnums=(0, 1, 2, 3))
    sharded = jax.shard_map(
        gradient,
        mesh=make_mesh(),
        in_specs=(SPLIT, WHOLE, WHOLE, WHOLE),
        out_specs=(SPLIT, WHOLE, WHOLE, WHOLE),
        check_vma=check_vma,
    )
    for a, b in zip(jax.jit(sharded)(*args), jax.jit(gradient)(*args), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("x_spec", "other_spec"), [(SPLIT, WHOLE), (WHOLE, SPLIT)], ids=["x", "other"]
)
def test_either_argument_may_be_the_one_that_differs(x_spec, other_spec):
    """A kernel or a mask of each device's own, on images that all share."""
    x, other = jnp.ones((2, 3)), jnp.ones((2, 3))

    def loss(x, other):
        y = ops.softmax_cross_entropy(x, other)
        return jnp.sum(y) + jnp.sum(ops.dense(x, other.T))

    sharded = jax.shard_map(
        jax.grad(loss, argnums=(0, 1)),
        mesh=make_mesh(),
        in_specs=(x_spec, other_spec),
        out_specs=(x_spec, other_spec),
    )
    expected = jax.grad(loss, argnums=(0, 1))(x, other)
    for a, b in zip(jax.jit(sharded)(x, other), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
