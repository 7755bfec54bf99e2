"""Each kind of block: gradients against autodiff, remat, and stochastic depth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import layers as nn
from cnnjax import models, ops
from cnnjax.models.conv_norm import ConvNorm
from cnnjax.models.convnext import ConvNeXtBlock
from cnnjax.models.densenet import DenseLayer
from cnnjax.models.efficientnet import MBConv
from cnnjax.models.mobilenet import InvertedResidual
from cnnjax.models.mobilenet_v3 import MobileBlock, Row
from cnnjax.models.regnet import RegNetBlock
from cnnjax.models.resnet_blocks import BasicBlock, Bottleneck

KEY = jax.random.key(0)
INIT = nn.initializers.he_normal()
CONV_NORM = ConvNorm(True, INIT)
SAME = CONV_NORM._replace(padding="SAME", epsilon=1e-3)
BLOCKS = {
    "basic": BasicBlock(4, 2, CONV_NORM),
    "bottleneck": Bottleneck(2, 2, CONV_NORM, True, True, groups=2),
    "inverted": InvertedResidual(4, 1, 2, CONV_NORM),
    "mobile": MobileBlock(Row(5, 8, 4, True, True, 1), CONV_NORM),
    "mbconv": MBConv(4, 3, 1, 2, CONV_NORM),
    "lite": MBConv(4, 5, 2, 2, SAME, lite=True),
    "dense": DenseLayer(3, CONV_NORM),
    "convnext": ConvNeXtBlock(INIT, True),
    "regnet": RegNetBlock(6, 2, 3, CONV_NORM),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BLOCKS)
def test_gradients_equal_autodiff(kind, x64):
    block = BLOCKS[kind]
    x = np.random.default_rng(0).standard_normal((2, 5, 6, 4))
    variables = jax.eval_shape(lambda: block.init(KEY, jnp.zeros(x.shape)))
    rng = np.random.default_rng(1)
    variables = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape), variables)

    def loss(params, x):
        inputs = {**variables, "params": params}
        y, _ = block.apply(inputs, x, mutable=["batch_stats"])
        return jnp.sum(jnp.sin(y))

    def gradient(mode):
        with ops.gradients(mode):
            return jax.grad(lambda *both: loss(*both), (0, 1))(variables["params"], x)

    ours, stock = jax.jit(lambda: (gradient("custom"), gradient("autodiff")))()
    for one, other in zip(*map(jax.tree.leaves, (ours, stock)), strict=True):
        scale = np.abs(other).max() + 1e-12
        np.testing.assert_allclose(one / scale, other / scale, atol=1e-9)


REMAT = {  # options, and how many blocks there are
    "convnext_tiny": ({"blocks": (1, 1), "widths": (4, 6)}, 2),
    "densenet121": ({"blocks": (1, 2), "growth": 3}, 3),
    "efficientnet_b0": ({}, 16),
    "mobilenet_v2": ({"multiplier": 0.1}, 17),
    "mobilenet_v3_small": ({"multiplier": 0.1}, 11),
    "regnet_y_400mf": ({"blocks": (1, 1), "widths": (4, 6), "group_width": 2}, 2),
    "resnet50": ({"blocks": (1, 1), "widths": (4, 6)}, 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REMAT)
def test_remat_changes_no_name_and_computes_every_block_again(name):
    options, blocks = REMAT[name]
    plain, again = (
        models.make_model(name, num_classes=3, remat=remat, **options)
        for remat in (False, True)
    )
    x = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    keys = jax.eval_shape(lambda: {"params": KEY, "dropout": KEY})
    expected = jax.eval_shape(lambda k, x: plain.init(k, x, train=False), keys, x)
    jaxpr, (_, variables) = jax.make_jaxpr(
        lambda k, x: again.init_with_output(k, x, train=True), return_shape=True
    )(keys, x)
    assert variables == expected
    names = [equation.primitive.name for equation in jaxpr.eqns]
    assert names.count("remat2") == blocks


@pytest.mark.slow
def test_remat_keeps_less_than_a_third():
    """Bytes for the backward pass, the parameters among them (docs/models.md)."""
    shapes = jax.eval_shape(lambda: jnp.zeros((128, 32, 32, 3)))

    def kept(remat):
        model = models.make_model("resnet20", num_classes=1000, remat=remat)
        variables = jax.eval_shape(lambda x: model.init(KEY, x, train=False), shapes)

        def pullback(params, statistics, x):
            def run(params):
                inputs = {"params": params, "batch_stats": statistics}
                return model.apply(inputs, x, train=True, mutable=["batch_stats"])[0]

            return jax.vjp(run, params)[1]

        with ops.backend("xla"):
            leaves = jax.tree.leaves(
                jax.eval_shape(
                    pullback, variables["params"], variables["batch_stats"], shapes
                )
            )
        return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves) / 1e6

    assert kept(False) == pytest.approx(202, rel=0.01)
    assert kept(True) == pytest.approx(62, rel=0.01)


@pytest.mark.slow
def test_remat_changes_no_value():
    x = np.random.default_rng(0).standard_normal((2, 16, 16, 3), np.float32)
    options = {"blocks": (1, 1), "widths": (4, 6), "stochastic_depth": 0.5}

    def run(remat):
        model = models.make_model("resnet18", num_classes=3, remat=remat, **options)
        variables = model.init(KEY, x, train=False)

        def loss(params):
            inputs, rngs = {**variables, "params": params}, {"dropout": KEY}
            options = {"rngs": rngs, "mutable": ["batch_stats"]}
            y, moved = model.apply(inputs, x, train=True, **options)
            return jnp.sum(y**2), moved

        return jax.value_and_grad(loss, has_aux=True)(variables["params"])

    plain, again = jax.jit(lambda: (run(False), run(True)))()
    for one, other in zip(*map(jax.tree.leaves, (plain, again)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["basic", "bottleneck", "mbconv", "convnext"])
def test_a_dropped_block_is_its_shortcut(kind):
    x = np.random.default_rng(0).random((64, 3, 3, 8), np.float32)
    block = {
        "basic": BasicBlock(8, 1, CONV_NORM, drop=0.5),
        "bottleneck": Bottleneck(2, 1, CONV_NORM, drop=0.5),
        "mbconv": MBConv(8, 3, 1, 2, CONV_NORM, drop=0.5),
        "convnext": ConvNeXtBlock(INIT, True, drop=0.5),
    }[kind]
    run = jax.jit(lambda: block.init_with_output({"params": KEY, "dropout": KEY}, x))
    y = np.asarray(run()[0])
    dropped = [bool((a == b).all()) for a, b in zip(x, y, strict=True)]
    assert 16 < sum(dropped) < 48
