"""Evaluation of a whole split: each example counts exactly once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnjax import progress
from cnnjax.data import Split, eval_batches
from cnnjax.train.machine.devices import Devices
from cnnjax.train.step.state import TrainState


class Score(NamedTuple):
    """The mean loss in nats, the accuracy, and the number of examples.

    Attributes:
        loss: in nats.
        accuracy: the fraction of the examples that are classified correctly.
        examples: how many there are.
        metrics: means of the user's own metrics by name.
    """

    loss: float
    accuracy: float
    examples: int
    metrics: Mapping[str, float] = {}

    def as_record(self) -> dict[str, Any]:
        """All values by name."""
        return {
            "loss": self.loss,
            "accuracy": self.accuracy,
            **self.metrics,
            "examples": self.examples,
        }


def evaluate(
    eval_step: Callable[..., Any],
    state: TrainState,
    split: Split,
    batch_size: int,
    devices: Devices,
    metrics: Sequence[str] = (),
) -> Score:
    """The score of ``state`` on ``split``.

    Args:
        eval_step: a compiled evaluation step.
        state: whose parameters are scored.
        split: the examples.
        batch_size: examples of a batch; the last one is padded, so that nothing
            recompiles.
        devices: where the step runs; each process reads its share of each batch.
        metrics: names of the further sums of ``eval_step``.
    """
    totals, waiting = np.zeros(3 + len(metrics)), None
    examples = len(split.labels)
    with progress.elapsing("evaluating"):  # while the step is compiled
        for number, batch in enumerate(eval_batches(split, batch_size, devices.part)):
            # One batch stays in flight while the host fetches the sums of the one
            # before.
            waiting, done = eval_step(state, devices.put_batch(batch)), waiting
            if done is not None:
                totals += _on_host(done)
            begun = min((number + 1) * batch_size, examples)
            progress.tell("evaluating", begun, examples)
    loss, correct, count, *more = totals + _on_host(waiting)
    own = {name: float(x / count) for name, x in zip(metrics, more, strict=True)}
    return Score(float(loss / count), float(correct / count), int(count), own)


def _on_host(metrics):
    """The sums in float64, so that adding up batches loses nothing."""
    return np.array([float(value) for value in metrics])
