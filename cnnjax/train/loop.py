"""The loop over steps: feeds batches, watches the loss, validates, reports."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax

from cnnjax.data import Batch
from cnnjax.train.evaluation import Score
from cnnjax.train.experiment import Lengths
from cnnjax.train.interval import Interval
from cnnjax.train.state import TrainState
from cnnjax.train.step import TrainMetrics
from cnnjax.typing import Reporter


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite; the message says where and what to try."""


class Running(NamedTuple):
    """A step that was dispatched and whose metrics are not fetched yet."""

    step: int
    metrics: TrainMetrics


class Loop:
    """Takes steps until the run's length is reached.

    One step is always under way while the host fetches the metrics of the one before it
    and prepares the next batch, so that the device does not wait for the host.
    """

    def __init__(
        self,
        train_step: Callable[..., tuple[TrainState, TrainMetrics]],
        validate: Callable[[TrainState], Score],
        reporter: Reporter,
        lengths: Lengths,
        *,
        batch_size: int,
        examples: int,
    ):
        self.train_step = train_step
        self.validate = validate
        self.reporter = reporter
        self.lengths = lengths
        self.batch_size = batch_size
        self.examples = examples
        self.interval = Interval(batch_size)
        self.started = time.perf_counter()

    def run(self, state: TrainState, batches: Iterator[Batch]) -> TrainState:
        """Trains from ``state`` to the end of the run.

        Raises:
            NonFiniteLossError: a loss that is NaN or infinite.
        """
        self.interval.reset()
        running = None
        for step in range(int(state.step) + 1, self.lengths.total + 1):
            begin = time.perf_counter()
            batch = next(batches)
            state, metrics = self.train_step(state, batch)
            self.interval.host_seconds += time.perf_counter() - begin
            running, done = Running(step, metrics), running
            self._finish(done)
            if step % self.lengths.eval_every == 0 or step == self.lengths.total:
                self._finish(running)
                running = None
                self._validate(step, state)
        return state

    def _finish(self, running: Running | None) -> None:
        """Waits for a step, checks its loss and tells about it."""
        if running is None:
            return
        step, metrics = running
        values = TrainMetrics(*map(float, jax.device_get(metrics)))
        begin = time.perf_counter()
        if not math.isfinite(values.loss):
            raise NonFiniteLossError(_non_finite(step, values))
        self.interval.add(values)
        self.reporter.step(
            {
                "step": step,
                "epoch": self._epoch(step),
                "loss": values.loss,
                "accuracy": values.accuracy,
                "learning_rate": values.learning_rate,
                "images_per_second": self.interval.images_per_second(),
            }
        )
        self.interval.host_seconds += time.perf_counter() - begin
        if step % self.lengths.log_every == 0 or step == self.lengths.total:
            self.log("train", step, self.interval.record(values))
            self.interval.reset()

    def _validate(self, step: int, state: TrainState) -> None:
        begin = time.perf_counter()
        score = self.validate(state)
        self.log("validation", step, score._asdict())
        # An evaluation is not training: its time is kept out of images per second.
        self.interval.start += time.perf_counter() - begin

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Reports ``values`` with the place and the time in the run."""
        seconds = time.perf_counter() - self.started
        place = {"kind": kind, "step": step, "epoch": self._epoch(step)}
        self.reporter.log({**place, **values, "seconds": seconds})

    def _epoch(self, step: int) -> float:
        return step * self.batch_size / self.examples


def _non_finite(step: int, values: TrainMetrics) -> str:
    return (
        f"the loss is {values.loss} at step {step}, with learning rate"
        f" {values.learning_rate:.3g} and gradient norm {values.gradient_norm:.3g}."
        " Try a lower --config.optimizer.learning_rate, a longer"
        " --config.schedule.warmup, or --config.optimizer.clip_norm=1; if it happens at"
        " the first step, look at the input data"
    )
