"""Existing Flax models train the same when only their import changes."""

import dataclasses
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

import cnnjax.layers
from tests.support.layers.flax_likeness import assert_same_tree


def test_every_public_name_of_flax_is_there():
    names = {name for name in dir(linen) if not name.startswith("_")}
    assert names - set(dir(cnnjax.layers)) == set()
    namespace = {}
    exec("from cnnjax.layers import *", namespace)
    assert namespace["Conv"] is cnnjax.layers.Conv


@pytest.mark.parametrize("name", ["Conv", "Dense", "Dropout"])
def test_constructors_have_the_fields_of_flax(name):
    ours, theirs = (getattr(nn, name) for nn in (cnnjax.layers, linen))
    fields = [
        [(f.name, f.default, f.kw_only) for f in dataclasses.fields(cls)]
        for cls in (ours, theirs)
    ]
    assert fields[0] == fields[1]
    assert issubclass(ours, theirs)
    assert ours.__name__ == name  # it names the parameters: Conv_0, Dense_1, ...


@pytest.mark.parametrize(
    "find",
    [
        lambda nn: nn.max_pool,
        lambda nn: nn.avg_pool,
        lambda nn: nn.Conv.__call__,
        lambda nn: nn.Dense.__call__,
        lambda nn: nn.Dropout.__call__,
    ],
)
def test_calls_have_the_arguments_of_flax(find):
    ours, theirs = (
        [
            (p.name, p.default, p.kind)
            for p in inspect.signature(find(nn)).parameters.values()
        ]
        for nn in (cnnjax.layers, linen)
    )
    assert ours == theirs


def make_image_network(nn):
    class Network(nn.Module):
        """Convolutions with batch normalization and dropout."""

        @nn.compact
        def __call__(self, x, train):
            for width in (4, 6):
                x = nn.Conv(width, (3, 3), use_bias=False)(x)
                x = nn.BatchNorm(use_running_average=not train)(x)
                x = nn.max_pool(nn.relu(x), (2, 2), strides=(2, 2))
            x = x.reshape((x.shape[0], -1))
            x = nn.Dropout(0.3, deterministic=not train)(nn.tanh(nn.Dense(8)(x)))
            return nn.log_softmax(nn.Dense(3)(x))

    return Network(), (4, 8, 9, 2)


def make_residual_network(nn):
    class Block(nn.Module):
        width: int
        stride: int = 1

        @nn.compact
        def __call__(self, x):
            strides = (self.stride, self.stride)
            y = nn.relu(nn.Conv(self.width, (3, 3), strides=strides)(x))
            y = nn.Conv(self.width, (3, 3), feature_group_count=2)(y)
            if x.shape != y.shape:
                x = nn.Conv(self.width, (1, 1), strides, name="shortcut")(x)
            return nn.relu(x + y)

    class Network(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            x = nn.Sequential([nn.Conv(4, (3, 3)), nn.relu])(x)
            x = Block(6, 2, name="down")(nn.remat(Block)(4)(x))
            x = nn.avg_pool(x, x.shape[1:3]).reshape(len(x), -1)
            return nn.log_softmax(nn.Dense(3)(x))

    return Network(), (2, 7, 6, 2)


def make_signal_network(nn):
    class Network(nn.Module):
        def setup(self):
            self.causal = nn.Conv(4, 3, padding="CAUSAL", kernel_dilation=2)
            self.periodic = nn.Conv(5, (4,), padding="CIRCULAR")
            self.head = nn.Dense(3, kernel_init=nn.initializers.he_normal())

        def __call__(self, x, train):
            x = nn.max_pool(nn.gelu(self.causal(x)), (3,), (2,), "SAME")
            x = nn.avg_pool(nn.relu(self.periodic(x)), (2,), count_include_pad=False)
            return nn.log_softmax(self.head(x.mean(axis=1)))

    return Network(), (3, 11, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [make_image_network, make_residual_network, make_signal_network]
)
def test_same_parameters_loss_and_gradients(make):
    def run(nn):
        model, shape = make(nn)
        x = np.random.default_rng(0).standard_normal(shape, np.float32)
        keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
        variables = model.init(keys, x, train=False)
        params = variables.pop("params")

        def loss(params, x):
            log_probabilities, state = model.apply(
                {"params": params, **variables},
                x,
                train=True,
                rngs=keys,
                mutable=["batch_stats"],
            )
            return -jnp.mean(log_probabilities[:, 0]), state

        return params, jax.value_and_grad(loss, (0, 1), has_aux=True)(params, x)

    both = jax.jit(lambda: [run(nn) for nn in (cnnjax.layers, linen)])()
    (params, results), (flax_params, flax_results) = both
    assert_same_tree(params, flax_params)
    assert_same_tree(results, flax_results, jnp.float32)
