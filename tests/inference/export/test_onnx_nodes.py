"""Each operation as an ONNX node: onnxruntime against the operation itself."""

from types import SimpleNamespace
from typing import Any

import flax.linen as flax
import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest

from cnnjax import layers as nn
from cnnjax import ops
from cnnjax.errors import ConfigError
from cnnjax.inference.export import onnx_file
from cnnjax.inference.export.program import make_function
from cnnjax.models import make_model
from cnnjax.train.run.model_file import ModelFile
from tests.support.ops.closeness import normal
from tests.support.shallow import shallow


def values_like(shapes):
    """Values as of a trained network, without a program that XLA compiles for them."""
    rng = np.random.default_rng(2)

    def make(path, leaf):
        draw = rng.standard_normal(leaf.shape)
        if leaf.ndim > 1:
            draw *= np.sqrt(2 / np.prod(leaf.shape[:-1]))
        elif path[-1].key in ("scale", "var"):
            draw = 1 + 0.1 * np.abs(draw)
        else:
            draw *= 0.1
        return jnp.asarray(draw, leaf.dtype)

    return jax.tree_util.tree_map_with_path(make, shapes)


def check(network, shape, atol=1e-5) -> list[str]:
    """Compares ``network`` of images with the file's output; returns the nodes."""
    module = network if isinstance(network, flax.Module) else Function(network)
    image = jnp.zeros((1, *shape), jnp.float32)
    variables = values_like(
        jax.eval_shape(lambda: module.init(jax.random.key(0), image, train=False))
    )
    model = ModelFile(
        *("test", {}, 3, None, shape, "float32", (0.5,) * shape[-1]),
        *((2.0,) * shape[-1], "float32", "auto", "softmax"),
        *(0.0, False, None),
    )
    trained: Any = SimpleNamespace(model=module, variables=variables, description=model)
    graph = onnx_file.build(trained)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
    images = np.asarray(normal(np.random.default_rng(0), 3, *shape)[0], np.float32)
    expected = jax.jit(make_function(trained))(images)
    for actual, right in zip(
        session.run(None, {"images": images}), expected, strict=True
    ):
        np.testing.assert_allclose(actual, right, rtol=1e-5, atol=atol)
    return [node.op_type for node in graph.graph.node]


ARCHITECTURES = (
    *("lenet5", "mobilenet_v2", "resnet18", "resnet20"),
    *("simple_cnn", "small_cnn", "vgg11"),
)


class Function(flax.Module):
    """A function of images as a network."""

    function: Any

    @flax.compact
    def __call__(self, x, train):
        return self.function(x)


def flat(y):
    return y.reshape(y.shape[0], -1)


def conv(x, taps, outputs=4, groups=1, bias=True, **options):
    rng = np.random.default_rng(1)
    shape = (*taps, x.shape[-1] // groups, outputs)
    kernel, offset = (
        jnp.asarray(normal(rng, *s)[0], jnp.float32) for s in (shape, (outputs,))
    )
    return flat(ops.conv(x, kernel, offset if bias else None, groups=groups, **options))


CONVOLUTIONS = {
    "plain": ((7, 6, 3), {"taps": (3, 2)}),
    "without bias": ((7, 6, 3), {"taps": (3, 3), "bias": False}),
    "relu": ((7, 6, 3), {"taps": (3, 3), "relu": True}),
    "strides": ((7, 6, 3), {"taps": (3, 2), "strides": (2, 3)}),
    "dilation": ((9, 8, 3), {"taps": (3, 2), "dilation": (2, 3)}),
    "groups": ((7, 6, 4), {"taps": (3, 3), "groups": 2}),
    "uneven padding": ((7, 6, 3), {"taps": (3, 3), "padding": [(0, 2), (1, 0)]}),
    "cropped": ((9, 8, 3), {"taps": (2, 3), "padding": [(-1, 1), (0, -2)]}),
    "padded far": ((5, 4, 3), {"taps": (2, 2), "padding": [(3, 2), (0, 4)]}),
    "circular": ((7, 6, 3), {"taps": (3, 3), "padding": "CIRCULAR"}),
    "flipped": ((7, 6, 3), {"taps": (3, 2), "flip_kernel": True}),
    "spread": ((5, 4, 3), {"taps": (3, 2), "input_dilation": (2, 3)}),
    "spread groups": ((5, 4, 4), {"taps": (3, 3), "input_dilation": 2, "groups": 2}),
    "signal": ((11, 2), {"taps": (4,), "padding": "CAUSAL"}),
    "volume": ((5, 4, 6, 2), {"taps": (3, 2, 2), "strides": (1, 2, 1)}),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions(case):
    shape, options = CONVOLUTIONS[case]
    nodes = check(lambda x: conv(x, **options), shape)
    name = "ConvTranspose" if "spread" in case else "Conv"
    assert nodes.count(name) == 1


POOLINGS = {
    "max": (ops.max_pool, (8, 7, 3), {"window": (3, 2), "strides": (2, 3)}),
    "max same": (ops.max_pool, (8, 7, 3), {"window": 3, "padding": "SAME"}),
    "max dilated": (ops.max_pool, (9, 8, 2), {"window": 2, "dilation": (3, 2)}),
    "max wide": (ops.max_pool, (24, 20, 2), {"window": 12, "padding": "SAME"}),
    "max signal": (ops.max_pool, (9, 3), {"window": 3, "strides": 2}),
    "max volume": (ops.max_pool, (6, 5, 4, 2), {"window": 2, "strides": 2}),
    "average": (ops.avg_pool, (8, 7, 3), {"window": (3, 2), "strides": 2}),
    "average same": (ops.avg_pool, (8, 7, 3), {"window": 3, "padding": "SAME"}),
    "average inside": (
        ops.avg_pool,
        (8, 7, 3),
        {"window": 3, "padding": "SAME", "count_include_pad": False},
    ),
}


@pytest.mark.parametrize("case", POOLINGS)
def test_poolings(case):
    pool, shape, options = POOLINGS[case]
    nodes = check(lambda x: flat(pool(x, **options)), shape)
    assert "MaxPool" in nodes or "AveragePool" in nodes


ACTIVATIONS = {
    "Relu": ops.relu,
    "Clip": ops.relu6,
    "Sigmoid": ops.sigmoid,
    "Tanh": ops.tanh,
    "Softmax": ops.softmax,
    "Mul": ops.silu,
    "Erf": lambda x: ops.gelu(x, approximate=False),
    "Log": ops.log_softmax,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    assert name in check(lambda x: flat(ACTIVATIONS[name](x)), (4, 3, 2))


class Norms(flax.Module):
    """All kinds of normalization."""

    @flax.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=True)(x)
        x = nn.BatchNorm(use_running_average=True, axis=1)(x)
        x = nn.BatchNorm(use_running_average=True, use_scale=False).and_relu(x)
        return nn.Dense(3)(flat(nn.GroupNorm(2)(nn.LayerNorm()(x))))


def test_normalizations():
    assert check(Norms(), (5, 4, 6)).count("BatchNormalization") >= 2


class Own(flax.Module):
    """Flax's own layers around ours."""

    @flax.compact
    def __call__(self, x, train):
        x = flax.relu(flax.Conv(4, (3, 3))(x))
        x = nn.relu(nn.Conv(6, (3, 3), strides=2)(x))
        x = flax.BatchNorm(use_running_average=not train)(x)
        x = flax.gelu(nn.ConvTranspose(4, (2, 2), strides=(2, 2))(x))
        return flax.Dense(3)(x.mean((1, 2)))


def test_a_users_own_flax_code_is_converted_too():
    nodes = check(Own(), (9, 8, 3))
    assert (nodes.count("Conv"), nodes.count("ConvTranspose")) == (2, 1)


class Gated(flax.Module):
    """An operation of weights alone."""

    @flax.compact
    def __call__(self, x, train):
        gate = self.param("gate", flax.initializers.normal(), x.shape[1:])
        return flat(x * ops.sigmoid(gate))


def test_operations_of_weights_alone_are_nodes_too():
    assert "Sigmoid" in check(Gated(), (4, 3, 2))


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures(name):
    shape = (32, 32, 3)
    network = make_model(name, num_classes=3, **shallow(name))
    nodes = check(network, shape, atol=1e-3)
    assert nodes.count("Transpose") <= nodes.count("Conv")


def test_a_network_that_cannot_be_converted_is_named():
    def network(x):
        return jnp.linalg.svd(flat(x)[:, :4].T @ flat(x)[:, :4])[1][None].repeat(3, 0)

    with pytest.raises(ConfigError, match="cannot convert the model 'test' to ONNX"):
        check(network, (4, 3, 2))


def test_the_graph_is_checked(monkeypatch):
    def refuse(proto, full_check):
        raise onnx.checker.ValidationError("bad node")

    monkeypatch.setattr(onnx.checker, "check_model", refuse)
    with pytest.raises(ConfigError, match="to ONNX: bad node"):
        check(lambda x: flat(ops.relu(x)), (4, 3, 2))
