"""Evaluation of a whole split: each example counts exactly once."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from cnnjax import progress
from cnnjax.data import Split, eval_batches
from cnnjax.data.tasks import CLASSIFICATION, REGRESSION
from cnnjax.metrics import Metric, Outputs
from cnnjax.train.machine.devices import Devices
from cnnjax.train.machine.processes import from_first, is_first
from cnnjax.train.step.eval_step import Evaluated
from cnnjax.train.step.state import TrainState


class Score(NamedTuple):
    """The mean loss, the accuracy, and the number of examples.

    Attributes:
        loss: its mean, in nats for a cross-entropy.
        accuracy: the fraction of the examples or pixels that are classified correctly;
            ``None`` for regression.
        examples: how many there are, without those of an unknown class; for label maps,
            the number of labeled pixels.
        metrics: the further metrics by name; NaN where one is undefined.
        unit: what ``examples`` counts: ``"examples"``, or ``"pixels"`` for label maps.
    """

    loss: float
    accuracy: float | None
    examples: int
    metrics: Mapping[str, float] = {}
    unit: str = "examples"

    def as_record(self) -> dict[str, Any]:
        """All values by name."""
        values = {"loss": self.loss, "accuracy": self.accuracy, **self.metrics}
        values["examples"] = self.examples
        return {name: value for name, value in values.items() if value is not None}


class Evaluation(NamedTuple):
    """A score and what it was computed from.

    Attributes:
        score: of the split.
        outputs: of each example; ``None`` if the step does not keep them.
        confusion: for label maps, how many pixels of each class (rows) are predicted as
            each class (columns).
    """

    score: Score
    outputs: Outputs | None
    confusion: np.ndarray | None = None


def evaluate(
    eval_step: Callable[..., Evaluated],
    state: TrainState,
    split: Split,
    batch_size: int,
    devices: Devices,
    metrics: Mapping[str, Metric] = {},
    *,
    is_sigmoid: bool = False,
    task: str = CLASSIFICATION,
) -> Evaluation:
    """The score of ``state`` on ``split``.

    Args:
        eval_step: a compiled evaluation step. It sums the means among the metrics, and
            keeps the outputs if there are others.
        state: whose parameters are scored.
        split: the examples.
        batch_size: examples of a batch; the last one is padded, so that nothing
            recompiles.
        devices: where the step runs; each process reads its share of each batch.
        metrics: by name.
        is_sigmoid: whether each class has a probability of its own.
        task: what the labels mean.
    """
    means = sum(metric.is_mean for metric in metrics.values())
    totals, waiting, kept, pixels = np.zeros(3 + means), None, [], []
    examples = len(split.labels)
    with progress.elapsing("evaluating"):  # while the step is compiled
        for number, batch in enumerate(eval_batches(split, batch_size, devices.part)):
            # One batch stays in flight while the host fetches the sums of the one
            # before.
            waiting, done = eval_step(state, devices.put_batch(batch)), waiting
            if done is not None:
                totals += _fetch(done, kept, pixels)
            begun = min((number + 1) * batch_size, examples)
            progress.tell("evaluating", begun, examples)
    assert waiting is not None  # a split has at least one example
    totals += _fetch(waiting, kept, pixels)
    outputs = None
    if kept:
        logits, losses = (np.concatenate(x)[:examples] for x in zip(*kept, strict=True))
        labels = np.asarray(split.labels)
        outputs = Outputs(logits, labels, losses, is_sigmoid, task)
    confusion = pixels[0] if pixels else None
    score = make_score(totals, metrics, outputs, task, confusion)
    return Evaluation(score, outputs, confusion)


def _fetch(
    done: Evaluated, kept: list[tuple[np.ndarray, ...]], pixels: list[np.ndarray]
) -> np.ndarray:
    """The sums in float64, so that adding up batches loses nothing."""
    if done.confusion is not None:
        pixels[:] = [sum(pixels, np.asarray(done.confusion, np.int64))]
    if done.outputs is not None:
        kept.append(tuple(np.asarray(x, np.float32) for x in done.outputs))
    return np.array([float(value) for value in (*done[:3], *done.metrics)])


def make_score(
    totals: np.ndarray,
    metrics: Mapping[str, Metric],
    outputs: Outputs | None,
    task: str = CLASSIFICATION,
    confusion: np.ndarray | None = None,
) -> Score:
    """The score of a split.

    Args:
        totals: over all examples: the sum of losses, how many are classified correctly,
            how many there are, and the sum of each mean among the metrics.
        metrics: by name.
        outputs: of each example; needed if not all metrics are means.
        task: what the labels mean.
        confusion: of the pixels, which replaces the outputs for label maps.
    """
    loss, correct, count, *more = totals
    means = iter(more)
    found = {
        name: float(next(means) / count) if metric.is_mean else np.nan
        for name, metric in metrics.items()
    }
    others = {name: metric for name, metric in metrics.items() if not metric.is_mean}
    if confusion is not None:
        found |= {
            name: metric.pixels(confusion)
            for name, metric in others.items()
            if metric.pixels is not None
        }
    elif others:
        values = [np.nan] * len(others)
        if is_first() and outputs is not None:
            with progress.elapsing("computing metrics"):
                known = outputs.known()
                values = [metric.function(known) for metric in others.values()]
        found |= dict(zip(others, from_first(values), strict=True))
    accuracy = None if task == REGRESSION else float(correct / count)
    unit = "examples" if confusion is None else "pixels"
    return Score(float(loss / count), accuracy, int(count), found, unit)
