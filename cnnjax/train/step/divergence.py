"""Training that diverges: non-finite losses and weights, and loss spikes."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.errors import NonFiniteLossError
from cnnjax.train.step.state import TrainState, named_leaves
from cnnjax.typing import Array

SPIKE_MEMORY = 0.98  # decay of the running mean of the loss: about 50 steps
SPIKE_FREE_STEPS = 20  # until the running mean is reliable


def check_metrics(step: int, metrics: Any) -> None:
    """Checks that the loss and the gradient of a step are finite.

    Args:
        step: the number of the step.
        metrics: its loss, gradient_norm and learning_rate, as numbers on the host.

    Raises:
        NonFiniteLossError: they are not; the message says what to try.
    """
    if math.isfinite(metrics.loss) and math.isfinite(metrics.gradient_norm):
        return
    raise NonFiniteLossError(
        f"the loss is {metrics.loss:.4g} at step {step}, with learning rate"
        f" {metrics.learning_rate:.3g} and gradient norm {metrics.gradient_norm:.3g}."
        " Try a lower --config.optimizer.learning_rate, a longer"
        " --config.schedule.warmup, --config.optimizer.clip_norm=1, or"
        " --config.on_nan=rollback; if it happens at the first step, look at the input"
        " data",
        step,
    )


def check_weights(state: TrainState) -> None:
    """Checks that all weights are finite: training cannot resume from others.

    Raises:
        NonFiniteLossError: names the first array that is not.
    """
    for name, leaf in named_leaves(state.variables):
        if not np.isfinite(np.asarray(leaf)).all():
            raise NonFiniteLossError(
                f"{name} holds values that are not finite after step {int(state.step)},"
                " which is not saved. Try a lower --config.optimizer.learning_rate,"
                " --config.optimizer.clip_norm=1, or --config.on_nan=rollback"
            )


def is_spike(loss: Array, usual: Array, step: Array, factor: float) -> Array:
    """Whether a loss is more than ``factor`` times the usual loss."""
    return (loss > factor * usual) & (step >= SPIKE_FREE_STEPS)


def update_usual(usual: Array, loss: Array, step: Array, factor: float) -> Array:
    """The running mean of the loss after one more step.

    A spike enters it clipped to ``factor`` times the mean. So the mean follows a
    lasting rise, and training does not skip steps forever.
    """
    clipped = jnp.where(
        is_spike(loss, usual, step, factor), factor * usual, loss
    ).astype(usual.dtype)
    moved = SPIKE_MEMORY * usual + (1 - SPIKE_MEMORY) * clipped
    return jnp.where(step == 0, clipped, moved)


def skip_spike(
    before: TrainState, after: TrainState, loss: Array, factor: float
) -> tuple[TrainState, Array]:
    """The state after a step, which updates nothing if its loss is a spike.

    Args:
        before: the state before the step.
        after: the state after it.
        loss: of the step.
        factor: how many times the usual loss makes a spike.

    Returns:
        The state, and 1.0 if the step was skipped, else 0.0.
    """
    spike = is_spike(loss, before.usual_loss, before.step, factor)
    after = jax.tree.map(lambda old, new: jnp.where(spike, old, new), before, after)
    usual = update_usual(before.usual_loss, loss, before.step, factor)
    after = after._replace(step=before.step + 1, usual_loss=usual)
    return after, spike.astype(jnp.float32)
