"""Batches divided along an explicit axis, as ``jax.make_mesh`` makes them."""

import flax.linen as fnn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from cnnjax import layers as nn
from cnnjax import ops

SHAPE = (4, 8, 6, 16)
LAYERS = {
    "conv": lambda m, x: m.Conv(8, (3, 3))(x),
    "strided": lambda m, x: m.Conv(16, (3, 3), strides=2, use_bias=False)(x),
    "pointwise": lambda m, x: m.Conv(8, (1, 1), strides=2)(x),
    "depthwise": lambda m, x: m.Conv(16, (3, 3), feature_group_count=16)(x),
    "groups": lambda m, x: m.Conv(8, (3, 3), feature_group_count=2)(x),
    "transposed": lambda m, x: m.ConvTranspose(8, (3, 3), strides=(2, 2))(x),
    "one axis": lambda m, x: m.Conv(8, (3,))(x[:, 0]),
    "three axes": lambda m, x: m.Conv(8, (3, 3, 3))(x[:, :, :, None]),
    "batch norm": lambda m, x: m.BatchNorm(use_running_average=False)(x),
    "layer norm": lambda m, x: m.LayerNorm()(x),
    "group norm": lambda m, x: m.GroupNorm(4)(x),
    "max-pool": lambda m, x: m.max_pool(x, (2, 2), (2, 2)),
    "overlapping max-pool": lambda m, x: m.max_pool(x, (3, 3), (2, 2), "SAME"),
    "average-pool": lambda m, x: m.avg_pool(x, (2, 2), (2, 2)),
    "dense": lambda m, x: m.Dense(5)(x.reshape(len(x), -1)),
    "dense on the last axis": lambda m, x: m.Dense(5)(x),
}


@pytest.fixture
def mesh():
    """Of one device, for whose arrays the same rules of types hold as for many."""
    return jax.make_mesh((1,), ("data",))


def place(mesh, tree, *spec):
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(*spec)))


def images(mesh):
    x = np.random.default_rng(0).standard_normal(SHAPE, np.float32)
    return place(mesh, x, "data")


def gradients(mesh, module, layer):
    """By the parameters and the images, of a layer out of ``module``."""

    class Network(fnn.Module):
        @fnn.compact
        def __call__(self, x):
            return layer(module, x)

    network = Network()
    variables = network.init(jax.random.key(0), jnp.zeros(SHAPE))

    def loss(variables, x):
        y, _ = network.apply(variables, x, mutable=["batch_stats"])
        return jnp.sum(jnp.sin(y))

    return jax.jit(jax.grad(loss, (0, 1)))(place(mesh, variables), images(mesh))


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_have_the_types_and_values_of_flax(mesh, name):
    ours = gradients(mesh, nn, LAYERS[name])
    flax = gradients(mesh, fnn, LAYERS[name])
    assert jax.tree.map(jax.typeof, ours) == jax.tree.map(jax.typeof, flax)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(flax), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_gradients_of_gradients(mesh):
    x = images(mesh)
    kernel = place(mesh, jnp.ones((3, 3, 16, 8)) / 100)

    def loss(kernel):
        y = ops.conv(x, kernel, padding=1)
        return jnp.sum(jnp.sin(ops.dense(y, jnp.eye(8))))

    def slope(kernel):
        return jnp.sum(jnp.sin(jax.grad(loss)(kernel)))

    with jax.set_mesh(mesh):
        twice = jax.jit(jax.grad(slope))(kernel)
    assert jax.typeof(twice) == jax.typeof(kernel)
    x = np.asarray(x)
    expected = jax.grad(slope)(np.asarray(kernel))
    np.testing.assert_allclose(twice, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.conv(x, jnp.ones((3, 3, 16, 8))),
        lambda x: ops.max_pool(x, 2),
        lambda x: ops.batch_norm(x, jnp.ones(16), jnp.ones(16)),
    ],
    ids=["conv", "max_pool", "batch_norm"],
)
def test_native_is_refused_with_the_remedy(mesh, function):
    with (
        jax.set_mesh(mesh),
        ops.backend("native"),
        pytest.raises(ValueError, match=r"explicit axes.*inside of jax\.shard_map"),
    ):
        function(images(mesh))
