"""What happens between two log lines: means over steps, and where the time goes."""

import time
from typing import NamedTuple

from cnnjax.train.step.step import TrainMetrics


class Noted(NamedTuple):
    """What an interval has counted, plain values for JSON.

    Attributes:
        steps: how many.
        seconds: how long they took.
        host_seconds: of which the host worked.
        sums: of each metric.
    """

    steps: int
    seconds: float
    host_seconds: float
    sums: list[float]


class Interval:
    """Means over the steps since the last log line, and where the time went."""

    def __init__(self, batch_size: int):
        self.batch_size = batch_size
        self.reset()

    def reset(self, noted: Noted | None = None) -> None:
        """Starts the next interval now, or goes on with one of an earlier process."""
        begun = noted or Noted(0, 0.0, 0.0, [0.0] * len(TrainMetrics._fields))
        self.steps, seconds, self.host_seconds, self.sums = begun
        self.start = time.perf_counter() - seconds

    def note(self) -> Noted:
        """What was counted so far."""
        seconds = time.perf_counter() - self.start
        return Noted(self.steps, seconds, self.host_seconds, self.sums)

    def add(self, values: TrainMetrics) -> None:
        """Counts one step with its metrics as numbers."""
        self.steps += 1
        self.sums = [
            total + value for total, value in zip(self.sums, values, strict=True)
        ]

    def images_per_second(self) -> float:
        """Training examples a second since the interval began."""
        seconds = max(time.perf_counter() - self.start, 1e-9)
        return self.steps * self.batch_size / seconds

    def record(self, last: TrainMetrics) -> dict[str, float]:
        """Means, the last learning rate, and times in seconds."""
        seconds = max(time.perf_counter() - self.start, 1e-9)
        means = [total / max(self.steps, 1) for total in self.sums]
        return {
            **dict(zip(TrainMetrics._fields, means, strict=True)),
            "learning_rate": last.learning_rate,
            "images_per_second": self.images_per_second(),
            "step_seconds": seconds / max(self.steps, 1),
            "host_fraction": self.host_seconds / seconds,
        }
