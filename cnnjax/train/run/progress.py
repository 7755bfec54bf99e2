"""The progress of a run, apart from its arrays: time, best score, rollbacks."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from cnnjax.config import Config
from cnnjax.train.run.evaluation import Score
from cnnjax.train.run.meter import Interval
from cnnjax.train.run.metrics import Monitor
from cnnjax.train.step.loss import TrainMetrics


class Progress(NamedTuple):
    """What a checkpoint notes about the progress of a run, plain values for JSON.

    Attributes:
        seconds: that the run has taken so far, in all its processes.
        best: step and score of the best validation, ``None`` for values that are not
            finite; ``None`` before the first.
        stale: validations since the best one.
        rollbacks: how often the run went back after a loss that was not finite.
        interval: what was counted since the last line of training metrics.
        weights: SHA-256 of the weights that the run started from (of the file, or of
            the arrays of another run); empty if it started otherwise.
        weights_source: where that file is on the hub, with the hash of the commit;
            empty for a file from elsewhere.
    """

    seconds: float = 0.0
    best: Mapping[str, Any] | None = None
    stale: int = 0
    rollbacks: int = 0
    interval: Interval | None = None
    weights: str = ""
    weights_source: str = ""

    @property
    def best_step(self) -> int | None:
        """The step of the best validation, if there was one."""
        return self.best["step"] if self.best else None

    def is_out_of_patience(self, config: Config) -> bool:
        """Whether so many validations brought nothing that training should stop."""
        patience = config.early_stopping.patience
        return patience is not None and self.stale >= patience


def read_progress(notes: Mapping[str, Any]) -> Progress:
    """The progress in the notes of a checkpoint; unknown fields are ignored.

    Newer versions may write further fields.

    Raises:
        ValueError: values of the wrong type.
    """
    stored = notes.get("progress")
    if not isinstance(stored, Mapping):
        raise ValueError(f"its progress is {stored!r}")
    known = Progress(**{k: v for k, v in stored.items() if k in Progress._fields})
    try:
        begun = Interval(*known.interval) if known.interval else None
        numbers = [*known[:1], *known[2:4], *_best_numbers(known.best)]
        numbers += [*begun[:3], *begun.sums] if begun else []
    except TypeError:
        numbers, begun = [None], None
    wrong_length = begun and len(begun.sums) != len(TrainMetrics._fields)
    if wrong_length or not all(map(_is_number, numbers)):
        raise ValueError(f"its progress is {dict(stored)!r}")
    return known._replace(interval=begun)


def _best_numbers(best: Any) -> list[Any]:
    if best is None:
        return []
    if not isinstance(best, Mapping):
        return [best, None]
    if "loss" not in best:
        return [None]
    values = [value for value in best.values() if value is not None]
    return [best.get("step"), best.get("examples"), *values]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def judge(
    progress: Progress, step: int, score: Score, *, monitor: Monitor, least: float
) -> Progress:
    """The progress after a validation, which is a new best or one more stale one.

    Args:
        progress: before the validation.
        step: after which it ran.
        score: its result; NaN is never the best.
        monitor: the metric that decides.
        least: the improvement that a new best needs; 0 accepts any.
    """
    record = {
        name: value if math.isfinite(value) else None  # which JSON can hold
        for name, value in score.as_record().items()
    }
    if _is_better(progress.best, record[monitor.name], monitor, least):
        return progress._replace(best={"step": step, **record}, stale=0)
    return progress._replace(stale=progress.stale + 1)


def _is_better(best, value: float | None, monitor: Monitor, least: float) -> bool:
    if value is None:
        return False
    # The best one lacks a metric that has been added to the settings since.
    if best is None or best.get(monitor.name) is None:
        return True
    gain = value - best[monitor.name]
    return (gain if monitor.higher_is_better else -gain) > least
