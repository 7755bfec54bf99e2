"""Norms of single examples' gradients, against one gradient per example."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from cnnjax import layers, ops, per_example_gradient_norms
from cnnjax.models import make_model
from cnnjax.train.step.state import named_leaves

pytestmark = pytest.mark.usefixtures("x64")
LABELS = jnp.array([2, 0, 1, 2, 1])


def loss(logits):
    return ops.softmax_cross_entropy(logits.reshape(len(LABELS), -1), LABELS)


def inputs(*shape):
    return np.random.default_rng(1).standard_normal((len(LABELS), *shape))


def start(model, x):
    """Variables in float64, with other numbers than the zeros of biases."""
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), x, train=False))
    draw = np.random.default_rng(2).uniform
    return jax.tree.map(lambda a: draw(0.05, 0.3, a.shape) - 0.1 * (a.ndim > 1), shapes)


def one_by_one(model, variables, x):
    """The norms of the rows of a Jacobian, by the names of the parameters."""

    def losses(params):
        return loss(model.apply({**variables, "params": params}, x, train=False))

    jacobian = jax.jit(jax.jacrev(losses))(variables["params"])
    return {
        name: np.linalg.norm(np.asarray(rows).reshape(len(x), -1), axis=1)
        for name, rows in named_leaves(jacobian)
    }


def check(model, x):
    variables = start(model, x)
    norms = jax.jit(lambda v: per_example_gradient_norms(model, v, x, loss))(variables)
    expected = one_by_one(model, variables, x)
    assert list(norms.parameters) == list(expected)
    for name, values in norms.parameters.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-9, err_msg=name)
    total = np.linalg.norm(list(expected.values()), axis=0)
    np.testing.assert_allclose(norms.total, total, rtol=1e-9)
    plain = loss(model.apply(variables, x, train=False))
    np.testing.assert_allclose(norms.losses, plain, rtol=1e-9)


class Net(nn.Module):
    """Some layers, then the mean of the positions and three logits."""

    parts: tuple
    relu: bool = False

    @nn.compact
    def __call__(self, x, train):
        for part in self.parts:
            is_norm = isinstance(part, nn.BatchNorm)
            options = {"use_running_average": not train} if is_norm else {}
            x = part.and_relu(x, **options) if self.relu else part(x, **options)
        return layers.Dense(3)(x.reshape(len(x), -1, x.shape[-1]).mean(1))


CONVS = {
    "plain": layers.Conv(4, (3, 3)),
    "positions": layers.Conv(4, (3, 2), strides=(2, 3), padding="VALID"),
    "one tap": layers.Conv(7, (1, 1), use_bias=False),
    "groups": layers.Conv(6, (3, 3), feature_group_count=3, strides=2),
    "depthwise": layers.Conv(6, (3, 3), feature_group_count=6),
    "dilated": layers.Conv(4, (3, 3), kernel_dilation=(2, 1), padding=((1, 2), (0, 1))),
    "input dilation": layers.Conv(4, (3, 3), input_dilation=(2, 1)),
    "circular": layers.Conv(4, (3, 3), padding="CIRCULAR"),
    "masked": layers.Conv(
        4, (3, 3), mask=np.eye(3)[:, :, None, None] * np.ones((6, 4))
    ),
    "of flax": nn.Conv(4, (3, 3), strides=2),
    "transposed": layers.ConvTranspose(4, (3, 2), strides=(2, 1)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONVS)
def test_a_convolution(name):
    check(Net((CONVS[name],)), inputs(7, 6, 6))


@pytest.mark.parametrize("axes", [1, 3])
def test_a_convolution_in_other_dimensions(axes):
    check(Net((layers.Conv(4, (3,) * axes, strides=2),)), inputs(*(5,) * axes, 2))


@pytest.mark.slow
@pytest.mark.parametrize(
    "layer",
    [
        layers.BatchNorm(),
        layers.BatchNorm(use_bias=False),
        layers.LayerNorm(),
        layers.GroupNorm(num_groups=3),
        nn.BatchNorm(),
        nn.LayerNorm(),
    ],
    ids=lambda layer: f"{type(layer).__module__}.{type(layer).__name__}",
)
def test_a_normalization(layer):
    check(Net((layers.Conv(6, (3, 3)), layer)), inputs(5, 4, 3))


def test_layers_that_are_fused_with_relu():
    norm = layers.BatchNorm()
    check(Net((layers.Conv(6, (3, 3)), norm), relu=True), inputs(5, 4, 3))


@pytest.mark.slow
def test_the_ghost_norm_and_the_explicit_one_are_the_same():
    few = Net((layers.Conv(32, (3, 3)), layers.Conv(32, (3, 3), strides=2)))
    check(few, inputs(3, 3, 16))  # ghost norms: 9 and 4 positions of 144 and 288 inputs
    check(few, inputs(20, 20, 2))


class Twice(nn.Module):
    """One layer that is called twice, and a parameter of the module itself."""

    @nn.compact
    def __call__(self, x, train):
        conv = layers.Conv(x.shape[-1], (3, 3))
        x = conv(jnp.tanh(conv(x)))
        x = x * self.param("gain", nn.initializers.ones, (x.shape[-1],))
        return layers.Dense(3)(x.mean((1, 2)))


def test_a_layer_that_is_called_twice_and_a_parameter_without_a_layer():
    check(Twice(), inputs(5, 4, 3))


@pytest.mark.slow
def test_a_network_with_shortcuts():
    model = make_model("resnet20", num_classes=3, widths=(4, 6), blocks=(1, 1))
    check(model, inputs(8, 8, 3))


class Block(nn.Module):
    """Every kind of layer, with a shortcut."""

    @nn.compact
    def __call__(self, x, train):
        y = layers.Conv(x.shape[-1], (3, 3))(x)
        y = layers.BatchNorm(use_running_average=not train).and_relu(y)
        y = layers.ConvTranspose(x.shape[-1], (3, 3))(layers.LayerNorm()(y))
        return x + layers.Dense(x.shape[-1])(layers.GroupNorm(num_groups=2)(y))


class Wrapped(nn.Module):
    """Blocks of a class, between a convolution and a dense layer."""

    block: Any

    @nn.compact
    def __call__(self, x, train):
        x = layers.Conv(4, (1, 1))(x)
        for _ in range(2):
            x = self.block()(x, train)
        return layers.Dense(3)(x.mean((1, 2)))


class Scanned(nn.Module):
    """Three convolutions with stacked kernels, one after the other."""

    @nn.compact
    def __call__(self, x, train):
        each = nn.scan(
            Step, variable_axes={"params": 0}, split_rngs={"params": True}, length=3
        )
        x, _ = each()(x, None)
        return layers.Dense(3)(x.mean((1, 2)))


class Step(nn.Module):
    """A convolution in the form that ``nn.scan`` takes."""

    @nn.compact
    def __call__(self, x, _):
        return jnp.tanh(layers.Conv(x.shape[-1], (3, 3))(x)), None


class Vmapped(nn.Module):
    """Two convolutions beside each other."""

    @nn.compact
    def __call__(self, x, train):
        vmap: Any = nn.vmap  # whose annotation lacks None
        pair = vmap(
            layers.Conv,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=None,
            axis_size=2,
        )
        y = jnp.tanh(pair(5, (3, 3))(x)).sum(0)
        return layers.Dense(3)(y.mean((1, 2)))


LIFTED = {
    "remat": Wrapped(nn.remat(Block, static_argnums=(2,))),
    "jit": Wrapped(nn.jit(Block, static_argnums=(2,))),
    "remat around all": nn.remat(Vmapped)(),
    "scan": Scanned(),
    "vmap": Vmapped(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LIFTED)
def test_layers_inside_of_a_transform_of_flax(name):
    check(LIFTED[name], inputs(5, 4, 3))


@pytest.mark.slow
def test_a_block_without_a_transform():
    check(Wrapped(Block), inputs(5, 4, 3))


@pytest.mark.slow
def test_in_training_a_transform_is_refused():
    model, x = LIFTED["remat"], inputs(5, 4, 3)
    with pytest.raises(ValueError, match=r"nn\.remat.*Conv_0.*expected train=False"):
        per_example_gradient_norms(model, start(model, x), x, loss, train=True)


@pytest.mark.slow
def test_in_training_the_terms_of_the_examples_add_up_to_the_gradient():
    norm = layers.BatchNorm()
    model, x = Net((layers.Conv(6, (3, 3)), norm)), inputs(5, 4, 3)
    variables = start(model, x)

    def total(params):
        tree = {**variables, "params": params}
        logits, _ = model.apply(tree, x, train=True, mutable=["batch_stats"])
        return loss(logits).sum()

    gradient = jax.grad(total)(variables["params"])
    norms = per_example_gradient_norms(model, variables, x, loss, train=True)
    for name, array in named_leaves(gradient):
        bound = float(np.sum(norms.parameters[name]))
        assert np.linalg.norm(array) <= bound * (1 + 1e-9)
    bias = norms.parameters["Dense_0.bias"]
    p = jax.nn.softmax(
        model.apply(variables, x, train=True, mutable=["batch_stats"])[0]
    )
    by_hand = np.linalg.norm(p - jax.nn.one_hot(LABELS, 3), axis=1)
    np.testing.assert_allclose(bias, by_hand, rtol=1e-9)


@pytest.mark.slow
def test_dropout_is_that_of_the_keys():
    model = make_model("small_cnn", num_classes=3, dropout=0.5)
    x = inputs(8, 8, 1)
    variables = start(model, x)
    runs = [
        per_example_gradient_norms(
            model, variables, x, loss, train=True, rngs={"dropout": jax.random.key(k)}
        ).total
        for k in (0, 0, 1)
    ]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_with_examples_that_are_alike_in_training_the_norms_are_alike():
    model = Net((layers.Conv(6, (3, 3)), layers.BatchNorm()))
    x = np.broadcast_to(inputs(5, 4, 3)[:1], (5, 5, 4, 3))
    norms = per_example_gradient_norms(
        model,
        start(model, x),
        x,
        lambda logits: ops.softmax_cross_entropy(logits, jnp.zeros(5, jnp.int32)),
        train=True,
    )
    np.testing.assert_allclose(norms.total, np.full(5, norms.total[0]), rtol=1e-9)
    assert norms.total[0] > 0.1
