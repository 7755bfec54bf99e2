"""Evaluation of a whole split: each example counts exactly once."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cnnjax.data import Split, eval_batches
from cnnjax.train.machine.devices import Devices
from cnnjax.train.step.loss import Sums
from cnnjax.train.step.state import TrainState


class Score(NamedTuple):
    """The mean loss in nats, the accuracy, and the number of examples."""

    loss: float
    accuracy: float
    examples: int


def evaluate(
    eval_step: Callable[..., Sums],
    state: TrainState,
    split: Split,
    batch_size: int,
    devices: Devices,
) -> Score:
    """The score of ``state`` on ``split``.

    Args:
        eval_step: a compiled evaluation step.
        state: whose parameters are scored.
        split: the examples.
        batch_size: examples of a batch; the last one is padded, so that nothing
            recompiles.
        devices: where the step runs; each process reads its share of each batch.
    """
    totals, waiting = np.zeros(3), None
    for batch in eval_batches(split, batch_size, devices.part):
        # One batch stays in flight while the host fetches the sums of the one before.
        waiting, done = eval_step(state, devices.put_batch(batch)), waiting
        totals += _on_host(done)
    loss, correct, count = totals + _on_host(waiting)
    return Score(float(loss / count), float(correct / count), int(count))


def _on_host(metrics):
    """The sums in float64, so that adding up batches loses nothing."""
    if metrics is None:
        return np.zeros(3)
    return np.array([float(value) for value in metrics])
