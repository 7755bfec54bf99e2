"""One step of training and one of evaluation, as pure functions of state and batch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from cnnjax.data import Batch, Normalization, augment, normalize
from cnnjax.optim import update_average
from cnnjax.train.divergence import is_spike, update_usual
from cnnjax.train.loss import Loss
from cnnjax.train.names import map_named, matches
from cnnjax.train.state import TrainState, trained_variables
from cnnjax.typing import Array


class TrainMetrics(NamedTuple):
    """Scalars of one training step.

    Attributes:
        loss: mean over the step's examples.
        accuracy: share of right answers among them.
        gradient_norm: of all gradients together, before clipping.
        learning_rate: of the step.
        skipped: 1 if the loss was a spike and nothing was changed, else 0.
    """

    loss: Array
    accuracy: Array
    gradient_norm: Array
    learning_rate: Array
    skipped: Array


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
    freeze: str = "",
    average_decay: float | None = None,
    spike_factor: float | None = None,
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
        freeze: regular expression; parameters and statistics whose whole name it
            matches stay as they are.
        average_decay: of the moving average of the weights, if the state keeps one.
        spike_factor: a step whose loss is more than this many times the usual one
            changes nothing but the count of steps.
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
        grads = _zero_where_frozen(freeze, grads)
        metrics = TrainMetrics(
            loss=value,
            accuracy=_mean(_is_correct(logits, batch.labels), batch.weights),
            gradient_norm=optax.tree.norm(grads),
            learning_rate=jnp.asarray(schedule(state.step), jnp.float32)
            * state.rate_scale,
            skipped=jnp.zeros(()),
        )
        after = _update(state, grads, _keep_frozen(freeze, statistics, state))
        if spike_factor is not None:
            after, skipped = _skip_spike(state, after, value, spike_factor)
            metrics = metrics._replace(skipped=skipped)
        return after, metrics

    def _update(state, grads, statistics) -> TrainState:
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        updates = jax.tree.map(lambda u: _scaled(u, state.rate_scale), updates)
        # Weight decay would shrink what has no gradient, too.
        updates = _zero_where_frozen(freeze, updates)
        params = optax.apply_updates(state.params, updates)
        average = state.average
        if average_decay is not None:
            variables = {"params": params, **statistics}
            average = update_average(average, variables, state.step, average_decay)
        return state._replace(
            step=state.step + 1,
            params=params,
            statistics=statistics,
            opt_state=opt_state,
            average=average,
        )

    return train_step


def _zero_where_frozen(freeze: str, tree):
    if not freeze:
        return tree
    return map_named(lambda n, x: jnp.zeros_like(x) if matches(freeze, n) else x, tree)


def _keep_frozen(freeze: str, statistics, state: TrainState):
    """The new statistics, but for those of frozen parts."""

    def choose(name, new, old):
        return old if matches(freeze, name) else new

    if not freeze:
        return statistics
    return {
        collection: map_named(choose, new, state.statistics[collection])
        for collection, new in statistics.items()
    }


def _skip_spike(before: TrainState, after: TrainState, loss, factor: float):
    """The state after a step that counts only if its loss is no spike."""
    spike = is_spike(loss, before.usual_loss, before.step, factor)
    after = jax.tree.map(lambda old, new: jnp.where(spike, old, new), before, after)
    usual = update_usual(before.usual_loss, loss, before.step, factor)
    after = after._replace(step=before.step + 1, usual_loss=usual)
    return after, spike.astype(jnp.float32)


def _scaled(value, scale):
    return (value * scale).astype(value.dtype)


def make_eval_step(
    model: nn.Module, loss: Loss, normalization: Normalization
) -> EvalStep:
    """The function ``(state, batch) -> metrics``; padding weighs nothing."""

    def eval_step(state: TrainState, batch: Batch) -> EvalMetrics:
        x = normalize(batch.images, normalization)
        logits: Any = model.apply(trained_variables(state), x, train=False)
        real = batch.weights > 0
        losses = jnp.where(real, loss(logits, batch.labels), 0)
        correct = _is_correct(logits, batch.labels) & real
        return EvalMetrics(losses.sum(), correct.sum(), real.sum())

    return eval_step


def _mean(values, weights):
    return jnp.sum(values * weights) / jnp.sum(weights)


def _is_correct(logits, labels):
    return jnp.argmax(logits, axis=-1) == labels
