"""How a run stands beside its arrays: time, best validation, patience, rollbacks."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from cnnjax.train.evaluation import Score

BIGGER_IS_BETTER = {"loss": False, "accuracy": True}


class Progress(NamedTuple):
    """What a checkpoint notes of a run, plain values for JSON.

    Attributes:
        seconds: that the run took so far, all its parts together.
        best: step and score of the best validation; ``None`` before the first.
        stale: validations since the best one.
        rollbacks: how often the run went back after a loss that was not finite.
    """

    seconds: float = 0.0
    best: Mapping[str, Any] | None = None
    stale: int = 0
    rollbacks: int = 0

    @property
    def best_step(self) -> int | None:
        """The step of the best validation, if there was one."""
        return self.best["step"] if self.best else None


def judge(
    progress: Progress, step: int, score: Score, *, monitor: str, least: float
) -> Progress:
    """The progress after a validation: a new best, or one more that is none.

    Args:
        progress: before it.
        step: when it was.
        score: what came out; what is not a number is never the best.
        monitor: ``"loss"`` or ``"accuracy"``, what tells the best.
        least: by how much it has to be better; 0 for by anything.
    """
    value = getattr(score, monitor)
    if math.isfinite(value) and _is_better(progress.best, value, monitor, least):
        return progress._replace(best={"step": step, **score._asdict()}, stale=0)
    return progress._replace(stale=progress.stale + 1)


def _is_better(best, value: float, monitor: str, least: float) -> bool:
    if best is None:
        return True
    gain = value - best[monitor] if BIGGER_IS_BETTER[monitor] else best[monitor] - value
    return gain > least
