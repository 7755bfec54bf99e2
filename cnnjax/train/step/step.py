"""One step of training and one of evaluation, as pure functions of state and batch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from cnnjax.data import Batch, Normalization, normalize
from cnnjax.optim import at_step, update_average
from cnnjax.train.step.all_reduce import sum_over
from cnnjax.train.step.divergence import is_spike, update_usual
from cnnjax.train.step.loss import Loss
from cnnjax.train.step.objective import Gradients, Sums, is_correct
from cnnjax.train.step.state import TrainState, map_named, matches, trained_variables
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


TrainStep = Callable[[TrainState, Batch], tuple[TrainState, TrainMetrics]]
EvalStep = Callable[[TrainState, Batch], Sums]


def make_train_step(
    gradients: Callable[[TrainState, Batch], Gradients],
    update: Callable[[TrainState, Gradients], tuple[TrainState, TrainMetrics]],
) -> TrainStep:
    """The function ``(state, batch) -> (state, metrics)`` of one device's batch.

    Args:
        gradients: from ``make_gradients``.
        update: from ``make_update``.
    """
    return lambda state, batch: update(state, gradients(state, batch))


def make_update(
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    *,
    freeze: str = "",
    average_decay: float | None = None,
    spike_factor: float | None = None,
) -> Callable[[TrainState, Gradients], tuple[TrainState, TrainMetrics]]:
    """The function ``(state, gradients) -> (state, metrics)``.

    Args:
        optimizer: from gradients to updates.
        schedule: the learning rate of a step, for the metrics.
        freeze: regular expression; parameters and statistics whose whole name it
            matches stay as they are.
        average_decay: of the moving average of the weights, if the state keeps one.
        spike_factor: a step whose loss is more than this many times the usual one
            changes nothing but the count of steps, by which the schedule goes.
    """

    def update(state: TrainState, found: Gradients):
        count = found.sums.count
        grads = jax.tree.map(lambda g: (g / count).astype(g.dtype), found.grads)
        grads = _zero_where_frozen(freeze, grads)
        metrics = TrainMetrics(
            loss=found.sums.loss / count,
            accuracy=found.sums.correct / count,
            gradient_norm=optax.tree.norm(grads),
            learning_rate=jnp.asarray(schedule(state.step), jnp.float32)
            * state.rate_scale,
            skipped=jnp.zeros(()),
        )
        after = move(state, grads, _keep_frozen(freeze, found.statistics, state))
        if spike_factor is not None:
            after, skipped = _skip_spike(state, after, metrics.loss, spike_factor)
            metrics = metrics._replace(skipped=skipped)
        return after, metrics

    def move(state: TrainState, grads, statistics) -> TrainState:
        clocked = at_step(state.opt_state, state.step)
        updates, opt_state = optimizer.update(grads, clocked, state.params)
        updates = jax.tree.map(
            lambda u: (u * state.rate_scale).astype(u.dtype), updates
        )
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

    return update


def make_eval_step(
    model: nn.Module,
    loss: Loss,
    normalization: Normalization,
    axis_name: str | None = None,
) -> EvalStep:
    """The function ``(state, batch) -> sums``; padding weighs nothing.

    Args:
        model: called as ``model(x, train=False)``.
        loss: per example, from logits and labels.
        normalization: of the training split.
        axis_name: of the devices among which the batch is divided; ``None``: one.
    """

    def eval_step(state: TrainState, batch: Batch) -> Sums:
        x = normalize(batch.images, normalization)
        logits: Any = model.apply(trained_variables(state), x, train=False)
        real = batch.weights > 0
        losses = jnp.where(real, loss(logits, batch.labels), 0)
        correct = is_correct(logits, batch.labels) & real
        return sum_over(axis_name, Sums(losses.sum(), correct.sum(), real.sum()))

    return eval_step


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
