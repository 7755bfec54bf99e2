"""What is reported of each layer, against NumPy and Flax."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from cnnjax import layers
from cnnjax.data import Batch, Normalization
from cnnjax.optim import make_optimizer
from cnnjax.train.step.freezing import Frozen
from cnnjax.train.step.layer_report import measure_activations, report_layers
from cnnjax.train.step.loss import make_loss
from cnnjax.train.step.state import make_state
from cnnjax.train.step.train_step import TrainStep


class Net(nn.Module):
    """A layer with ReLU, one that is called twice, and one inside a block."""

    @nn.compact
    def __call__(self, x, train):
        x = layers.Conv(3, (3, 3), name="fused").and_relu(x)
        twice = layers.Conv(3, (1, 1), name="twice")
        x = layers.relu(twice(twice(x))).mean((1, 2))
        x = x * self.param("scale", nn.initializers.ones, ())
        return nn.remat(Block)(name="block")(x)


class Block(nn.Module):
    """A layer inside a block."""

    @nn.compact
    def __call__(self, x):
        return layers.Dense(4, name="inner")(x)


class Stock(nn.Module):
    """The same network of Flax's layers, which returns the outputs of its layers."""

    @nn.compact
    def __call__(self, x):
        fused = nn.relu(nn.Conv(3, (3, 3), name="fused")(x))
        twice = nn.Conv(3, (1, 1), name="twice")
        once = twice(fused)
        again = twice(once)
        inner = nn.Dense(4, name="inner")(nn.relu(again).mean((1, 2)))
        return {
            "network": inner,
            "fused": fused,
            "twice": once,
            "twice#2": again,
            "block.inner": inner,
        }


def schedule(step):
    return 0.5


def make(accumulate_steps=1):
    return TrainStep(
        model=Net(),
        loss_function=make_loss("softmax"),
        normalization=Normalization(np.zeros(2, np.float32), np.ones(2, np.float32)),
        optimizer=make_optimizer("sgd", schedule),
        schedule=schedule,
        accumulate_steps=accumulate_steps,
        frozen=Frozen("twice.*"),
    )


@pytest.fixture(scope="module")
def state():
    step = make()
    state = make_state(step.model, step.optimizer, (5, 4, 2), 0)
    state.params["fused"]["bias"] = jnp.array([0.1, -100.0, 0.2])  # the second is dead
    return state


@pytest.fixture(scope="module")
def batch():
    images = np.random.default_rng(0).normal(size=(6, 5, 4, 2)).astype(np.float32)
    labels = np.array([0, 1, 2, 3, 0, 1], np.int32)
    return Batch(images, labels, np.ones(6, np.float32))


def report(step, state, batch):
    def look(state, batch):
        found = step.gradients(state, batch), measure_activations(step, state, batch)
        return report_layers(step, state, *found)

    return jax.jit(look)(state, batch)


@pytest.mark.slow
@pytest.mark.parametrize("accumulate_steps", [1, 3])
def test_activations_are_those_of_the_layers(state, batch, accumulate_steps):
    found = report(make(accumulate_steps), state, batch).scalars
    params = dict(state.params)
    params |= params.pop("block")
    del params["scale"]
    expected = Stock().apply({"params": params}, batch.images)
    names = {name.partition("/")[2] for name in found if name.startswith("dead_units")}
    assert names == set(expected)
    for name, x in expected.items():
        x = np.asarray(x, np.float64)
        dead = np.mean(x.reshape(-1, x.shape[-1]).max(axis=0) <= 0)
        values = {"activation_mean": x.mean(), "activation_std": x.std()}
        for what, value in (values | {"dead_units": dead}).items():
            key = f"{what}/{name}"
            np.testing.assert_allclose(found[key], value, 1e-4, 1e-6, err_msg=key)
    assert found["dead_units/fused"] == np.float32(1 / 3)


def test_devices_measure_the_whole_batch_together(state, batch):
    whole = jax.jit(lambda *args: measure_activations(make(), *args))(state, batch)
    step = replace(make(), axis_name="devices")
    halves = jax.tree.map(lambda x: x.reshape(2, 3, *x.shape[1:]), batch)
    look = jax.vmap(
        lambda half: measure_activations(step, state, half), axis_name="devices"
    )
    for name, both in jax.jit(look)(halves).items():
        for found, expected in zip(both, whole[name], strict=True):
            np.testing.assert_allclose(found[0], expected, 1e-5, 1e-6, err_msg=name)
            np.testing.assert_array_equal(found[0], found[1])


def test_norms_are_those_of_the_step(state, batch):
    step = make()
    found = report(step, state, batch)
    after, metrics = jax.jit(step)(state, batch)
    norms = [
        found.scalars[f"gradient_norm/{x}"] for x in ("fused", "block.inner", "network")
    ]
    np.testing.assert_allclose(np.linalg.norm(norms), metrics.gradient_norm, rtol=1e-5)
    for name in ("fused", "twice"):
        old, new = (
            np.concatenate([np.ravel(x) for x in params[name].values()], dtype=float)
            for params in (state.params, after.params)
        )
        norm, move = np.linalg.norm(old), np.linalg.norm(new - old)
        np.testing.assert_allclose(found.scalars[f"weight_norm/{name}"], norm, 1e-6)
        np.testing.assert_allclose(
            found.scalars[f"update_ratio/{name}"], move / norm, 1e-3
        )
    assert found.scalars["update_ratio/twice"] == 0  # it is frozen
    old, new = (x.params["block"]["inner"]["bias"] for x in (state, after))
    gradient = found.gradients["block"]["inner"]["bias"]
    np.testing.assert_allclose(old - new, 0.5 * gradient, rtol=1e-3, atol=1e-7)
