"""A run from where it stands to its end: restores, trains, saves, goes back, scores."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from cnnjax.config import Config
from cnnjax.data import Batch, train_batches
from cnnjax.errors import Interrupted, NonFiniteLossError
from cnnjax.train.machine.compile import compile_step, make_score
from cnnjax.train.machine.devices import Devices, describe_devices
from cnnjax.train.machine.numerics import (
    describe_backend,
    describe_options,
    differences,
)
from cnnjax.train.run.beginning import branch_off, check_found, start_anew
from cnnjax.train.run.changes import Change, check_finished
from cnnjax.train.run.checkpoint import Checkpoints, Restored
from cnnjax.train.run.data_identity import Identity
from cnnjax.train.run.evaluation import Score
from cnnjax.train.run.experiment import Experiment
from cnnjax.train.run.lock import Hold
from cnnjax.train.run.loop import Loop
from cnnjax.train.run.noted import describe_run
from cnnjax.train.run.progress import Progress, judge, read_progress
from cnnjax.train.run.saver import Saver
from cnnjax.train.run.trained import take_best, wants_best
from cnnjax.train.run.workdir import CHECKPOINTS, Origin
from cnnjax.train.step.divergence import check_weights
from cnnjax.train.step.state import TrainState, count_parameters
from cnnjax.typing import Reporter


class Result(NamedTuple):
    """The state at the end of a run and its score on the test split."""

    state: TrainState
    test: Score


class Session:
    """One process's part of a run.

    Args:
        config: checked settings.
        experiment: what they stand for.
        devices: where it runs.
        hold: the run's own folder.
        reporter: is told of everything.
        shapes: of a state of the run.
        identity: of its data.
    """

    def __init__(
        self,
        config: Config,
        experiment: Experiment,
        devices: Devices,
        hold: Hold,
        reporter: Reporter,
        shapes: Any,
        identity: Identity,
    ):
        self.config = config
        self.experiment = experiment
        self.devices = devices
        self.reporter = reporter
        self.workdir = hold.workdir
        self.progress = Progress()
        self.shapes, self.identity = shapes, identity
        self.changes: list[Change] = []  # from what the state was trained with
        self.score = make_score(config, experiment, devices)
        self.checkpoints = Checkpoints(
            self.workdir / CHECKPOINTS,
            config.checkpoint.keep,
            reporter.message,
            keep_every=experiment.lengths.keep_every,
            settings=config.to_dict(),
        )
        self.saver = Saver(self.checkpoints, hold, config.batch_size)

    def run(
        self,
        state: TrainState,
        stop: Callable[[], int | None],
        describe: Callable[[], None],
        watch_state: Callable[[TrainState], None] | None = None,
    ) -> Result:
        """Trains to the end, and scores it on the test split.

        Args:
            state: what ``begin`` gave.
            stop: tells the number of a signal that came.
            describe: writes what the run is, right before its first step.
            watch_state: is shown the state after each step.
        """
        self.reporter.start(self._describe(state))
        self.reporter.rewind(int(state.step))
        for change in self.changes:
            self.reporter.message(f"changed setting {change}")
        if state.step:
            self.reporter.message(f"going on after step {int(state.step)}")
        self.loop = Loop(
            self._compile_step(state),
            self,
            self.reporter,
            self.experiment.lengths,
            batch_size=self.config.batch_size,
            examples=len(self.experiment.dataset.train.labels),
            seconds_before=self.progress.seconds,
            watch_state=watch_state,
        )
        if not self.is_finished(state):
            describe()
        return self._finish(self._train(state, stop))

    def validate(self, state: TrainState) -> Score:
        """The score of a state on the validation split."""
        return self.score(state, self.experiment.dataset.validation)

    def judge(self, step: int, score: Score) -> bool:
        """Counts a validation; whether it is the best so far."""
        self.progress = judge(
            self.progress,
            step,
            score,
            monitor=self.config.monitor,
            least=self.config.early_stopping.min_improvement,
        )
        return self.progress.best_step == step

    def is_over(self) -> bool:
        """Whether so many validations brought nothing that training should stop."""
        patience = self.config.early_stopping.patience
        return patience is not None and self.progress.stale >= patience

    def is_finished(self, state: TrainState) -> bool:
        """Whether no further step is to be taken from a state."""
        return int(state.step) >= self.experiment.lengths.total or self.is_over()

    def save(self, state: TrainState) -> None:
        """Starts a checkpoint.

        Raises:
            NonFiniteLossError: weights that are not finite.
            CheckpointError: the working directory is gone.
        """
        check_weights(state)
        self.progress = self.progress._replace(
            seconds=self.loop.seconds(), interval=self.loop.interval.note()
        )
        run = describe_run(self.config, self.experiment, self.identity)
        # A copy: the next step overwrites the state's own memory.
        self.saver.save(self.devices.fetch(state), self.progress, run | self._place())

    def begin(self, origin: Origin | None) -> TrainState:
        """The state to continue from: on disk, or a new one.

        Args:
            origin: the run to resume; this one, or another that it branches off.

        Raises:
            ConfigError: a finished run, or a state that does not match the run's files.
        """
        run, tell = self.workdir, self.reporter.message
        found = self.checkpoints.restore(self.shapes)
        if found is None and origin and origin.folder != run:
            run = origin.folder
            found = branch_off(origin, self.shapes, self.config, tell)
        if found is None:
            return self._start()
        self.changes = check_found(
            found, run, self.config, self.experiment, self.identity
        )
        for moved in differences(found.notes, self._place()):
            tell(moved)
        state = self._take(found)
        if self.is_finished(state):
            check_finished(
                self.changes,
                run=run,
                done=int(state.step),
                total=self.experiment.lengths.total,
                stopped_early=self.is_over(),
                is_new=run != self.workdir,
            )
        return state

    def _take(self, found: Restored) -> TrainState:
        self.progress = read_progress(found.notes)
        return self.devices.put_state(TrainState(**found.arrays))

    def _start(self) -> TrainState:
        """The state before the first step."""
        self.saver.hold.note_saved(None)
        self.progress = Progress()
        state = start_anew(self.experiment, self.config, self.reporter.message)
        return self.devices.put_state(state)

    def _train(self, state: TrainState, stop: Callable[[], int | None]) -> TrainState:
        while True:
            first = int(state.step)
            try:
                batches, begun = self._batches(first), self.progress.interval
                return self.loop.run(state, batches, stop, begun)
            except NonFiniteLossError as error:
                state = self._go_back(error, first)
            except Interrupted:
                self.saver.finish()  # otherwise it may not be saved
                raise

    def _go_back(self, error: NonFiniteLossError, first: int) -> TrainState:
        """The last good state that was saved, with a lower learning rate.

        Args:
            error: what happened.
            first: the step of the state that training went on from.

        Raises:
            NonFiniteLossError: if the settings do not allow it, or not once more.
        """
        settings, count = self.config.rollback, self.progress.rollbacks + 1
        if self.config.on_nan != "rollback":
            raise error
        self.saver.hold.check()
        if count > settings.times:
            raise NonFiniteLossError(
                f"{error}. The run went back {settings.times} times already, as often"
                " as rollback.times allows"
            ) from error
        if error.step == first + 1:  # No rate can help: that state gives the loss.
            self.checkpoints.discard(first, "its loss is not finite")
        found = self.checkpoints.restore(self.shapes)
        state = self._take(found) if found else self._start()
        self.progress = self.progress._replace(rollbacks=count)
        scale = settings.factor**count
        self.reporter.rewind(int(state.step))
        self.reporter.message(
            f"{str(error).partition('. ')[0]}; going back to step {int(state.step)}"
            f" with {scale:g} times the learning rate (rollback {count} of"
            f" {settings.times})"
        )
        state = state._replace(rate_scale=np.float32(scale))
        return self.devices.put_state(state)

    def _batches(self, first: int) -> Iterator[Batch]:
        return train_batches(
            self.experiment.dataset.train,
            self.config.batch_size,
            self.config.seed,
            start_step=first,
            num_steps=max(self.experiment.lengths.total - first, 0),
            part=self.devices.part,
        )

    def _finish(self, state: TrainState) -> Result:
        """Waits for the disk, takes the best state if it is wanted, and scores."""
        step, best = int(state.step), self.progress.best
        self.saver.finish()
        if self.is_over() and best:
            self.reporter.message(
                f"stopping early after step {step}: {self.progress.stale} validations"
                f" were no better than that of step {best['step']}"
            )
        if wants_best(self.config) and best and best["step"] != step:
            tell = self.reporter.message
            found = take_best(self.checkpoints, self.shapes, best["step"], step, tell)
            if found:
                state = self.devices.put_state(TrainState(**found.arrays))
        test = self.score(state, self.experiment.dataset.test)
        self.loop.log("test", int(state.step), test._asdict())
        return Result(state, test)

    def _compile_step(self, state: TrainState):
        """The compiled step; compiled ahead, so that no step's time holds it."""
        begin = time.perf_counter()
        step = compile_step(self.config, self.experiment, self.devices, state)
        self.reporter.message(f"step compiled in {time.perf_counter() - begin:.1f} s")
        return step

    def _describe(self, state: TrainState) -> dict[str, Any]:
        lengths, batch_size = self.experiment.lengths, self.config.batch_size
        examples = len(self.experiment.dataset.train.labels)
        return {
            "name": self.config.model.name,
            "total_steps": lengths.total,
            "examples": examples,
            "epochs": round(lengths.total * batch_size / examples, 2),
            "batch_size": batch_size,
            "parameters": count_parameters(state.params),
            "device": self._devices(),
            "workdir": str(self.workdir),
        }

    def _place(self) -> dict[str, Any]:
        """What a run's numbers depend on, apart from its settings and data."""
        kernels = describe_backend(self.config, self.devices.platform)
        return {"devices": self._devices(), "kernels": kernels, **describe_options()}

    def _devices(self) -> str:
        return describe_devices(self.devices)
