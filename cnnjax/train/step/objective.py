"""What training makes small, and its gradient over a device's part of a batch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnnjax.data import Batch, Normalization, augment, normalize
from cnnjax.train.step.all_reduce import sum_over
from cnnjax.train.step.example_key import example_key
from cnnjax.train.step.loss import Loss
from cnnjax.train.step.state import TrainState
from cnnjax.typing import Array, Params


class Sums(NamedTuple):
    """Sums over real examples: their loss, how many were right, how many there are."""

    loss: Array
    correct: Array
    count: Array


class Gradients(NamedTuple):
    """What a batch says: the sums over it, their gradient, and the new statistics."""

    sums: Sums
    grads: Params
    statistics: Any


def make_objective(model: nn.Module, loss: Loss) -> Callable[..., Any]:
    """The function that training makes small.

    Args:
        model: called as ``model(x, train=True)``.
        loss: per example, from logits and labels.

    Returns:
        ``(params, x, statistics, batch, dropout_key) -> (value, (logits, statistics))``
        for normalised images x; the value is the sum over the batch's examples.
    """

    def objective(params, x, statistics, batch, dropout_key):
        logits, statistics = model.apply(
            {"params": params, **statistics},
            x,
            train=True,
            rngs={"dropout": dropout_key},
            mutable=list(statistics),
        )
        value = jnp.sum(loss(logits, batch.labels) * batch.weights)
        return value, (logits, statistics)

    return objective


def make_gradients(
    model: nn.Module,
    loss: Loss,
    normalization: Normalization,
    *,
    crop_padding: int = 0,
    flip: bool = False,
    accumulate_steps: int = 1,
    axis_name: str | None = None,
) -> Callable[[TrainState, Batch], Gradients]:
    """The function ``(state, batch) -> Gradients`` of one device's part of a batch.

    The sums and gradients that it returns are over all devices' parts; statistics are
    the mean of theirs.

    Args:
        model: called as ``model(x, train=True)``.
        loss: per example, from logits and labels.
        normalization: of the training split.
        crop_padding: pixels of the random crop.
        flip: whether images are mirrored at random.
        accumulate_steps: parts that are taken one after the other, to save memory;
            statistics follow each.
        axis_name: of the devices among which the batch is divided; ``None``: one.
    """
    objective = make_objective(model, loss)

    def of_part(state: TrainState, statistics, part: Batch, key, first) -> Gradients:
        augment_key, dropout_key = jax.random.split(example_key(key, first))
        x = normalize(part.images, normalization)
        x = augment(augment_key, x, crop_padding=crop_padding, flip=flip)
        gradient = jax.value_and_grad(objective, has_aux=True)
        (value, (logits, statistics)), grads = gradient(
            state.params, x, statistics, part, dropout_key
        )
        correct = jnp.sum(is_correct(logits, part.labels) * part.weights)
        return Gradients(Sums(value, correct, part.weights.sum()), grads, statistics)

    def gradients(state: TrainState, batch: Batch) -> Gradients:
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
        first = _first_example(axis_name, len(batch.labels))
        if accumulate_steps == 1:
            found = of_part(state, state.statistics, batch, key, first)
        else:
            found = accumulate(state, batch, key, first)
        return _over_devices(axis_name, found)

    def accumulate(state: TrainState, batch: Batch, key, first) -> Gradients:
        size = len(batch.labels) // accumulate_steps
        parts = jax.tree.map(
            lambda x: x.reshape(accumulate_steps, size, *x.shape[1:]), batch
        )

        def add(total: Gradients, each):
            part, number = each
            start = first + number * size
            more = of_part(state, total.statistics, part, key, start)
            sums = jax.tree.map(jnp.add, total.sums, more.sums)
            grads = jax.tree.map(jnp.add, total.grads, more.grads)
            return Gradients(sums, grads, more.statistics), None

        one = jax.tree.map(lambda x: x[0], parts)
        shapes = jax.eval_shape(of_part, state, state.statistics, one, key, 0)
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        start = zeros._replace(statistics=state.statistics)
        return jax.lax.scan(add, start, (parts, jnp.arange(accumulate_steps)))[0]

    return gradients


def is_correct(logits: Array, labels: Array) -> Array:
    """Whether the largest logit of each example is that of its class."""
    return jnp.argmax(logits, axis=-1) == labels


def _first_example(axis_name: str | None, size: int) -> Array:
    """The number of this device's first example within the whole batch."""
    return 0 if axis_name is None else jax.lax.axis_index(axis_name) * size


def _over_devices(axis_name: str | None, found: Gradients) -> Gradients:
    if axis_name is None:
        return found
    devices = jax.lax.axis_size(axis_name)
    part = jax.tree.map(lambda x: x / devices, found.statistics)
    return sum_over(axis_name, found._replace(statistics=part))
