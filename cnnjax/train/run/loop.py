"""The loop over steps: feeds batches, watches the loss, validates, reports."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import jax

from cnnjax.data import Batch
from cnnjax.errors import Interrupted
from cnnjax.train.machine.stop_request import StopRequest, decode
from cnnjax.train.run.evaluation import Score
from cnnjax.train.run.experiment import Lengths
from cnnjax.train.run.interval import Interval, Noted
from cnnjax.train.step.divergence import check_metrics
from cnnjax.train.step.state import TrainState
from cnnjax.train.step.step import TrainMetrics
from cnnjax.typing import Reporter


class Running(NamedTuple):
    """A step that was dispatched and whose metrics are not fetched yet.

    Attributes:
        step: its number.
        metrics: on the device.
        wishes: those of all processes together, on the device; ``None`` for one.
    """

    step: int
    metrics: TrainMetrics
    wishes: Any


class Owner(Protocol):
    """Who decides what a state is worth, and keeps it."""

    def validate(self, state: TrainState) -> Score:
        """The score of a state on the validation split."""
        ...

    def judge(self, step: int, score: Score) -> bool:
        """Counts a validation; whether it is the best so far."""
        ...

    def is_over(self) -> bool:
        """Whether training should stop before its time."""
        ...

    def save(self, state: TrainState) -> None:
        """Starts a checkpoint."""
        ...


class Loop:
    """Takes steps until the run's length is reached.

    One step is always under way while the host fetches the metrics of the one before it
    and prepares the next batch, so that the device does not wait for the host.
    """

    def __init__(
        self,
        train_step: Callable[..., tuple[TrainState, TrainMetrics, Any]],
        owner: Owner,
        reporter: Reporter,
        lengths: Lengths,
        *,
        batch_size: int,
        examples: int,
        seconds_before: float = 0.0,
        watch_state: Callable[[TrainState], None] | None = None,
    ):
        self.train_step = train_step
        self.owner = owner
        self.watch_state = watch_state
        self.reporter = reporter
        self.lengths = lengths
        self.batch_size = batch_size
        self.examples = examples
        self.interval = Interval(batch_size)
        self.started = time.perf_counter() - seconds_before
        self.last_save = time.perf_counter()

    def run(
        self,
        state: TrainState,
        batches: Iterator[Batch],
        stop: Callable[[], int | None] = lambda: None,
        begun: Noted | None = None,
    ) -> TrainState:
        """Trains from ``state`` to the end of the run, or until ``stop`` has a signal.

        The end is the run's length, or earlier if the owner says so.

        Args:
            state: to start from.
            batches: of the steps that are left.
            stop: tells the number of a signal that came.
            begun: the interval between two log lines that an earlier process left.

        Raises:
            NonFiniteLossError: a loss that is NaN or infinite.
            Interrupted: a signal came; the state is saved.
        """
        self.interval.reset(begun)
        running, step = None, int(state.step)
        while step < self.lengths.total and not self.owner.is_over():
            step += 1
            begin = time.perf_counter()
            wish = StopRequest(stop(), self._clock_says())
            state, metrics, wishes = self.train_step(state, next(batches), wish)
            self.interval.host_seconds += time.perf_counter() - begin
            running, done = Running(step, metrics, wishes), running
            if self.watch_state:
                self.watch_state(state)
            self._finish(done)
            wish = self._agree(done, StopRequest(stop(), self._clock_says()))
            if wish.signal or wish.save or self._is_due(step):
                self._finish(running)
                running = None
                self._pause(step, state, wish)
        return state

    def seconds(self) -> float:
        """How long the run has taken, earlier parts of it included."""
        return time.perf_counter() - self.started

    def _is_due(self, step: int) -> bool:
        is_end = step == self.lengths.total
        return is_end or step % self.lengths.eval_every == 0 or self._saves_after(step)

    def _saves_after(self, step: int) -> bool:
        """Whether a checkpoint is due at this step."""
        every = (self.lengths.save_every, self.lengths.keep_every)
        return any(n and step % n == 0 for n in every)

    def _clock_says(self) -> bool:
        """Whether it is time for a checkpoint by the clock."""
        seconds = self.lengths.save_seconds
        return bool(seconds) and time.perf_counter() - self.last_save >= seconds

    def _agree(self, done: Running | None, own: StopRequest) -> StopRequest:
        """What all processes want; one step late, so that all hear of it together."""
        if jax.process_count() == 1:
            return own
        return decode(done.wishes) if done else StopRequest()

    def _pause(self, step: int, state: TrainState, wish: StopRequest) -> None:
        """Validates and saves where that is due; ends the run if a signal came."""
        begin, is_best = time.perf_counter(), False
        saves = wish.signal or wish.save or self._saves_after(step)
        if step == self.lengths.total or step % self.lengths.eval_every == 0:
            score = self.owner.validate(state)
            self.log("validation", step, score._asdict())
            is_best = self.owner.judge(step, score)
        ends = step == self.lengths.total or self.owner.is_over()
        if ends or saves or is_best:
            self.owner.save(state)
            self.last_save = time.perf_counter()
        # This is not training: its time is kept out of images per second.
        self.interval.start += time.perf_counter() - begin
        if wish.signal and not ends:
            raise Interrupted(wish.signal, step)

    def _finish(self, running: Running | None) -> None:
        """Waits for a step, checks its loss and tells about it."""
        if running is None:
            return
        step, metrics, _ = running
        values = TrainMetrics(*map(float, jax.device_get(metrics)))
        begin = time.perf_counter()
        check_metrics(step, values)
        if values.skipped:
            self.reporter.message(
                f"step {step} is skipped: its loss of {values.loss:.4g} is a spike"
            )
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
