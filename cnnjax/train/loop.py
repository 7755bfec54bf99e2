"""The loop over steps: feeds batches, watches the loss, validates, reports."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax

from cnnjax.data import Batch
from cnnjax.train.evaluation import Score
from cnnjax.train.experiment import Lengths
from cnnjax.train.interruption import Interrupted
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
        save: Callable[[TrainState, Score | None], None],
        reporter: Reporter,
        lengths: Lengths,
        *,
        batch_size: int,
        examples: int,
        seconds_before: float = 0.0,
    ):
        self.train_step = train_step
        self.validate = validate
        self.save = save
        self.reporter = reporter
        self.lengths = lengths
        self.batch_size = batch_size
        self.examples = examples
        self.interval = Interval(batch_size)
        self.started = time.perf_counter() - seconds_before

    def run(
        self,
        state: TrainState,
        batches: Iterator[Batch],
        stop: Callable[[], int | None] = lambda: None,
    ) -> TrainState:
        """Trains from ``state`` to the end of the run, or until ``stop`` has a signal.

        Raises:
            NonFiniteLossError: a loss that is NaN or infinite.
            Interrupted: a signal came; the state is saved.
        """
        self.interval.reset()
        running, step = None, int(state.step)
        while step < self.lengths.total:
            step += 1
            begin = time.perf_counter()
            batch = next(batches)
            state, metrics = self.train_step(state, batch)
            self.interval.host_seconds += time.perf_counter() - begin
            running, done = Running(step, metrics), running
            self._finish(done)
            signal = stop()
            if signal or self._is_due(step):
                self._finish(running)
                running = None
                self._pause(step, state, signal)
        return state

    def seconds(self) -> float:
        """How long the run has taken, earlier parts of it included."""
        return time.perf_counter() - self.started

    def _is_due(self, step: int) -> bool:
        every = (self.lengths.eval_every, self.lengths.save_every)
        return step == self.lengths.total or any(step % n == 0 for n in every)

    def _pause(self, step: int, state: TrainState, signal: int | None) -> None:
        """Validates and saves where that is due; ends the run if a signal came."""
        begin, last = time.perf_counter(), step == self.lengths.total
        score = None
        if last or step % self.lengths.eval_every == 0:
            score = self.validate(state)
            self.log("validation", step, score._asdict())
        if last or signal or step % self.lengths.save_every == 0:
            self.save(state, score)
        # This is not training: its time is kept out of images per second.
        self.interval.start += time.perf_counter() - begin
        if signal and not last:
            raise Interrupted(signal, step)

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

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Reports ``values`` with the place and the time in the run."""
        place = {"kind": kind, "step": step, "epoch": self._epoch(step)}
        self.reporter.log({**place, **values, "seconds": self.seconds()})

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
