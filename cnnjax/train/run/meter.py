"""What training reports as it runs: means between two log lines, and its times."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np

from cnnjax.data import Batch
from cnnjax.data.prefetch import Prefetch
from cnnjax.train.run.lengths import Lengths
from cnnjax.train.step.divergence import check_metrics
from cnnjax.train.step.loss import TrainMetrics
from cnnjax.train.step.state import TrainState
from cnnjax.typing import Reporter

LATE = 0.1  # the share of the time that training may wait for data without a hint
LEAST_SECONDS = 1  # of an interval that says how long training waits


class Interval(NamedTuple):
    """The steps since the last log line, as plain values for JSON.

    Attributes:
        steps: how many.
        seconds: how long they took.
        host_seconds: how much of that the host worked.
        sums: of each metric.
        data_seconds: how long no step ran because the next batch was not there yet.
    """

    steps: int
    seconds: float
    host_seconds: float
    sums: list[float]
    data_seconds: float = 0.0


EMPTY = Interval(0, 0.0, 0.0, [0.0] * len(TrainMetrics._fields))


class Meter:
    """Reports each step, and the means over the steps between two log lines.

    Args:
        reporter: receives the metrics.
        lengths: the length of the run and the steps between two log lines.
        batch_size: examples of a step.
        examples: of the training split.
        trace_spike: tells why the loss of a step was a spike, from its number and a
            state.
        seconds_before: what earlier processes of the run took.
        has_accuracy: whether a prediction is right or wrong, unlike that of a number.
        late_data: what to do if training waits for data; empty for data in memory.
    """

    def __init__(
        self,
        reporter: Reporter,
        lengths: Lengths,
        *,
        batch_size: int,
        examples: int,
        trace_spike: Callable[[int, TrainState], str],
        seconds_before: float = 0.0,
        has_accuracy: bool = True,
        late_data: str = "",
    ):
        self._reporter = reporter
        self._lengths = lengths
        self._batch_size = batch_size
        self._examples = examples
        self._has_accuracy = has_accuracy
        self._run_start = time.perf_counter() - seconds_before
        self._late_data = late_data
        self._trace_spike = trace_spike
        self._intervals = 0
        self._pauses = {"validation": 0.0, "checkpoint": 0.0}
        self.restart()

    def restart(self, begun: Interval | None = None) -> None:
        """Starts an empty interval now, or continues one of an earlier process."""
        begun = Interval(*(begun or EMPTY))
        self._steps, self._sums = begun.steps, begun.sums
        self._host_seconds, self._data_seconds = begun.host_seconds, begun.data_seconds
        self._start = time.perf_counter() - begun.seconds

    def interval(self) -> Interval:
        """What was counted since the last log line."""
        seconds = time.perf_counter() - self._start
        return Interval(
            self._steps, seconds, self._host_seconds, self._sums, self._data_seconds
        )

    def seconds(self) -> float:
        """How long the run has taken, including its earlier processes."""
        return time.perf_counter() - self._run_start

    @contextlib.contextmanager
    def host_work(self) -> Iterator[None]:
        """Counts the time within as work of the host."""
        begin = time.perf_counter()
        yield
        self._host_seconds += time.perf_counter() - begin

    def next_batch(self, batches: Prefetch[Batch]) -> Batch:
        """The next batch; the time until it is there counts as waiting for data."""
        begin = time.perf_counter()
        batch = next(batches)
        self._data_seconds += time.perf_counter() - begin
        return batch

    @contextlib.contextmanager
    def pause(self, kind: str = "") -> Iterator[None]:
        """Keeps the time within, which is not training, out of images per second.

        Args:
            kind: "validation" or "checkpoint", whose time is logged on its own.
        """
        begin = time.perf_counter()
        yield
        seconds = time.perf_counter() - begin
        self._start += seconds
        if kind:
            self._pauses[kind] += seconds

    def call(self, steps: range, metrics: TrainMetrics, state: TrainState) -> None:
        """Waits for the steps of a call, checks the loss of each, and reports them.

        Args:
            steps: their numbers.
            metrics: on the device: numbers, or arrays of at least as many.
            state: after them, or after the next call; to look at if a loss is a spike.

        Raises:
            NonFiniteLossError: a loss or a gradient that is NaN or infinite.
        """
        rows = zip(*map(np.atleast_1d, jax.device_get(metrics)), strict=True)
        for step, row in zip(steps, rows, strict=False):
            self._step(step, TrainMetrics(*map(float, row)), state)

    def _step(self, step: int, values: TrainMetrics, state: TrainState) -> None:
        check_metrics(step, values)
        if values.skipped:
            with self.pause():
                self._tell_spike(step, values.loss, state)
        with self.host_work():
            self._steps += 1
            self._sums = [a + b for a, b in zip(self._sums, values, strict=True)]
            shown = self._shown({"loss": values.loss, "accuracy": values.accuracy})
            self._reporter.step(
                {
                    "step": step,
                    "epoch": self._epoch(step),
                    **shown,
                    "learning_rate": values.learning_rate,
                    "images_per_second": self._images_per_second(),
                    "data_wait_fraction": self._data_wait_fraction(),
                }
            )
        if step % self._lengths.log_every == 0 or step == self._lengths.total:
            means = self._means(values)
            self.log("train", step, means)
            self._hint(means["data_wait_fraction"])
            self._pauses = dict.fromkeys(self._pauses, 0.0)
            self.restart()

    def _tell_spike(self, step: int, loss: float, state: TrainState) -> None:
        cause = self._trace_spike(step, state)
        self._reporter.message(
            f"step {step} is skipped: its loss of {loss:.4g} is a spike"
            f"{'; ' if cause else ''}{cause}; cnnjax replay --step={step} shows more"
        )

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Reports ``values`` with the step and the time of the run."""
        head = {"kind": kind, "step": step, "epoch": self._epoch(step)}
        self._reporter.log({**head, **values, "seconds": self.seconds()})

    def _means(self, last: TrainMetrics) -> dict[str, float]:
        """Means over the interval, the last learning rate, and times.

        Pauses are those since the last log line, which come before the interval, too.
        """
        seconds = max(time.perf_counter() - self._start, 1e-9)
        means = [total / max(self._steps, 1) for total in self._sums]
        return {
            **self._shown(dict(zip(TrainMetrics._fields, means, strict=True))),
            "learning_rate": last.learning_rate,
            "images_per_second": self._images_per_second(),
            "step_seconds": seconds / max(self._steps, 1),
            "host_fraction": self._host_seconds / seconds,
            "data_wait_fraction": self._data_wait_fraction(),
            **{f"{kind}_seconds": total for kind, total in self._pauses.items()},
        }

    def _hint(self, waited: float) -> None:
        """Tells once how to get data faster, if training waits for it.

        The first interval of a process does not count: it starts with no batch ready.
        """
        self._intervals += 1
        seconds = time.perf_counter() - self._start
        is_long = self._intervals > 1 and seconds >= LEAST_SECONDS
        if self._late_data and is_long and waited > LATE:
            self._reporter.message(
                f"training waits for data {waited:.0%} of the time: {self._late_data}"
            )
            self._late_data = ""

    def _shown(self, values: dict[str, float]) -> dict[str, float]:
        """The values, without the accuracy if it is meaningless."""
        if not self._has_accuracy:
            del values["accuracy"]
        return values

    def _images_per_second(self) -> float:
        seconds = max(time.perf_counter() - self._start, 1e-9)
        return self._steps * self._batch_size / seconds

    def _data_wait_fraction(self) -> float:
        return self._data_seconds / max(time.perf_counter() - self._start, 1e-9)

    def _epoch(self, step: int) -> float:
        return step * self._batch_size / self._examples
