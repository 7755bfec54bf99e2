"""Training that ran away: losses and weights that are not finite, and loss spikes."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from cnnjax.errors import NonFiniteLossError
from cnnjax.train.step.state import TrainState, named_leaves
from cnnjax.typing import Array

SPIKE_MEMORY = 0.98  # of the running mean of the loss: some 50 steps
SPIKE_FREE_STEPS = 20  # before the mean means anything


def check_metrics(step: int, metrics: Any) -> None:
    """Refuses a loss or a gradient that is not finite.

    Args:
        step: the number of the step.
        metrics: its loss, gradient_norm and learning_rate as numbers of the host.

    Raises:
        NonFiniteLossError: with what to try.
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
    """Refuses a state with weights that are not finite: it could not be gone on from.

    Raises:
        NonFiniteLossError: names the first such array.
    """
    for name, leaf in named_leaves(state.variables):
        if not np.isfinite(np.asarray(leaf)).all():
            raise NonFiniteLossError(
                f"{name} holds values that are not finite after step {int(state.step)},"
                " which is not saved. Try a lower --config.optimizer.learning_rate,"
                " --config.optimizer.clip_norm=1, or --config.on_nan=rollback"
            )


def is_spike(loss: Array, usual: Array, step: Array, factor: float) -> Array:
    """Whether a loss is more than ``factor`` times the usual one."""
    return (loss > factor * usual) & (step >= SPIKE_FREE_STEPS)


def update_usual(usual: Array, loss: Array, step: Array, factor: float) -> Array:
    """The running mean of the loss after one more step.

    A spike counts as the most that is none, so that a lasting rise becomes usual and
    training is never skipped for good.
    """
    counted = jnp.where(
        is_spike(loss, usual, step, factor), factor * usual, loss
    ).astype(usual.dtype)
    moved = SPIKE_MEMORY * usual + (1 - SPIKE_MEMORY) * counted
    return jnp.where(step == 0, counted, moved)
