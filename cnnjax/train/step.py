"""One step of training and one of evaluation, as pure functions of state and batch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from cnnjax.data import Batch, Normalization, augment, normalize
from cnnjax.train.loss import Loss
from cnnjax.train.state import TrainState
from cnnjax.typing import Array


class TrainMetrics(NamedTuple):
    """Scalars of one training step: means over its examples, and its learning rate."""

    loss: Array
    accuracy: Array
    gradient_norm: Array
    learning_rate: Array


class EvalMetrics(NamedTuple):
    """Scalars of one evaluation batch: sums over its real examples."""

    loss: Array
    correct: Array
    count: Array


TrainStep = Callable[[TrainState, Batch], tuple[TrainState, TrainMetrics]]
EvalStep = Callable[[TrainState, Batch], EvalMetrics]


def make_objective(model: nn.Module, loss: Loss) -> Callable[..., Any]:
    """The function that training makes small.

    Args:
        model: called as ``model(x, train=True)``.
        loss: per example, from logits and labels.

    Returns:
        ``(params, x, statistics, batch, dropout_key) -> (value, (logits, statistics))``
        for normalised images x; the value is the mean over the batch's examples.
    """

    def objective(params, x, statistics, batch, dropout_key):
        logits, statistics = model.apply(
            {"params": params, **statistics},
            x,
            train=True,
            rngs={"dropout": dropout_key},
            mutable=list(statistics),
        )
        value = _mean(loss(logits, batch.labels), batch.weights)
        return value, (logits, statistics)

    return objective


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    loss: Loss,
    normalization: Normalization,
    schedule: optax.Schedule,
    *,
    crop_padding: int = 0,
    flip: bool = False,
) -> TrainStep:
    """The function ``(state, batch) -> (state, metrics)``, not yet compiled.

    Args:
        model: called as ``model(x, train=True)``.
        optimizer: from gradients to updates.
        loss: per example, from logits and labels.
        normalization: of the training split.
        schedule: the learning rate of a step, for the metrics.
        crop_padding: pixels of the random crop.
        flip: whether images are mirrored at random.
    """
    objective = make_objective(model, loss)

    def train_step(state: TrainState, batch: Batch):
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
        augment_key, dropout_key = jax.random.split(key)
        x = normalize(batch.images, normalization)
        x = augment(augment_key, x, crop_padding=crop_padding, flip=flip)

        gradient = jax.value_and_grad(objective, has_aux=True)
        (value, (logits, statistics)), grads = gradient(
            state.params, x, state.statistics, batch, dropout_key
        )
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        metrics = TrainMetrics(
            loss=value,
            accuracy=_mean(_is_correct(logits, batch.labels), batch.weights),
            gradient_norm=optax.tree.norm(grads),
            learning_rate=jnp.asarray(schedule(state.step), jnp.float32),
        )
        params = optax.apply_updates(state.params, updates)
        state = TrainState(state.step + 1, params, statistics, opt_state, state.key)
        return state, metrics

    return train_step


def make_eval_step(
    model: nn.Module, loss: Loss, normalization: Normalization
) -> EvalStep:
    """The function ``(state, batch) -> metrics``; padding weighs nothing."""

    def eval_step(state: TrainState, batch: Batch) -> EvalMetrics:
        x = normalize(batch.images, normalization)
        variables = {"params": state.params, **state.statistics}
        logits: Any = model.apply(variables, x, train=False)
        real = batch.weights > 0
        losses = jnp.where(real, loss(logits, batch.labels), 0)
        correct = _is_correct(logits, batch.labels) & real
        return EvalMetrics(losses.sum(), correct.sum(), real.sum())

    return eval_step


def _mean(values, weights):
    return jnp.sum(values * weights) / jnp.sum(weights)


def _is_correct(logits, labels):
    return jnp.argmax(logits, axis=-1) == labels
