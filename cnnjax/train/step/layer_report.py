"""What each layer does in one training step: its gradients, weights and activations.

A program of its own, so that the training step stays as it is.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from cnnjax.data import Batch
from cnnjax.layers.frozen import frozen_layers
from cnnjax.train.step.freezing import inference_layers
from cnnjax.train.step.state import TrainState, named_leaves, step_key
from cnnjax.train.step.train_step import Gradients, TrainStep
from cnnjax.typing import Array, Params

ROOT = "network"
"""The layer of parameters that belong to the whole network itself."""
_METHODS = ("__call__", "and_relu")  # of a layer, which give its output


class Moments(NamedTuple):
    """The values of a layer's output over some examples.

    Attributes:
        mean: of all values.
        variance: of all values.
        largest: value of each unit, over all examples and positions ``(channels,)``.
    """

    mean: Array
    variance: Array
    largest: Array


class LayerReport(NamedTuple):
    """What the layers do in one step.

    Attributes:
        scalars: by names such as ``"gradient_norm/Conv_0"``.
        gradients: of the parameters, of the mean loss of the batch.
    """

    scalars: Mapping[str, Array]
    gradients: Params


def report_layers(
    train_step: TrainStep,
    state: TrainState,
    gradients: Gradients,
    activations: Mapping[str, Moments],
) -> LayerReport:
    """Norms of each layer, and the statistics of its output.

    Args:
        train_step: of the run.
        state: before the step.
        gradients: that the step finds over the whole batch.
        activations: of each layer, see ``measure_activations``.
    """
    _, grads = train_step.mean_gradients(gradients)
    params = train_step.update(state, gradients)[0].params
    moves = jax.tree.map(jnp.subtract, params, state.params)
    weight_norms = _norms(state.params)
    scalars = {
        **{f"gradient_norm/{name}": x for name, x in _norms(grads).items()},
        **{f"weight_norm/{name}": x for name, x in weight_norms.items()},
        **{
            f"update_ratio/{name}": x / jnp.maximum(weight_norms[name], 1e-12)
            for name, x in _norms(moves).items()
        },
    }
    for name, moments in activations.items():
        scalars[f"activation_mean/{name}"] = moments.mean
        scalars[f"activation_std/{name}"] = jnp.sqrt(moments.variance)
        scalars[f"dead_units/{name}"] = jnp.mean(moments.largest <= 0)
    return LayerReport(scalars, grads)


def measure_activations(
    train_step: TrainStep, state: TrainState, batch: Batch
) -> dict[str, Moments]:
    """The values of each layer's output in a training step, over all devices.

    Args:
        train_step: of the run; its images, dropout and statistics are those of the
            step.
        state: before the step.
        batch: this device's part.
    """
    key = step_key(state.key, state.step)
    first, size = 0, len(batch.labels) // train_step.accumulate_steps
    if train_step.axis_name is not None:
        first = lax.axis_index(train_step.axis_name) * len(batch.labels)

    def measure(numbered_part):
        part, number = numbered_part
        found = _activations(train_step, state, part, key, first + number * size)
        return {name: _moments(x) for name, x in found.items()}

    count = train_step.accumulate_steps
    parts = jax.tree.map(lambda x: x.reshape(count, size, *x.shape[1:]), batch)
    parts = lax.map(measure, (parts, jnp.arange(count)))
    if train_step.axis_name is not None:
        parts = lax.all_gather(parts, train_step.axis_name, tiled=True)
    return {name: _join(moments) for name, moments in parts.items()}


def _activations(train_step, state, part, key, first) -> dict[str, Array]:
    """The output of each layer that has parameters, by its name."""
    part, _, dropout_key = train_step.inputs(part, key, first)
    with frozen_layers(inference_layers(train_step.frozen, state.variables)):
        _, variables = train_step.model.apply(
            state.variables,
            part.images,
            train=True,
            rngs={"dropout": dropout_key},
            mutable=[*state.statistics, "intermediates"],
            capture_intermediates=lambda module, method: method in _METHODS,
        )
    layers, found = set(_layers(state.params)), {}
    for path, x in jax.tree_util.tree_leaves_with_path(variables["intermediates"]):
        *names, method, _ = (str(getattr(key, "key", None)) for key in path)
        name = ".".join(names) or ROOT
        is_output = method in _METHODS and name in layers
        if is_output and x.ndim and jnp.issubdtype(x.dtype, jnp.floating):
            calls = sum(known.partition("#")[0] == name for known in found)
            found[f"{name}#{calls + 1}" if calls else name] = x
    return found


def _moments(x: Array) -> Moments:
    x = x.astype(jnp.float32)
    return Moments(x.mean(), x.var(), x.max(axis=range(x.ndim - 1)))


def _join(parts: Moments) -> Moments:
    """The moments over parts of the same size, which the first axis counts."""
    mean = parts.mean.mean()
    variance = (parts.variance + (parts.mean - mean) ** 2).mean()
    return Moments(mean, variance, parts.largest.max(axis=0))


def _layers(params: Params) -> dict[str, list[Array]]:
    """The arrays of each layer, by the layer's name."""
    layers: dict[str, list[Array]] = {}
    for name, array in named_leaves(params):
        layers.setdefault(name.rpartition(".")[0] or ROOT, []).append(array)
    return layers


def _norms(params: Params) -> dict[str, Array]:
    return {name: optax.tree.norm(arrays) for name, arrays in _layers(params).items()}
