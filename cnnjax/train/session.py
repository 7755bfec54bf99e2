"""A run from where it stands to its end: restores, trains, saves, goes back, scores."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from cnnjax.config import Config
from cnnjax.data import Batch, train_batches
from cnnjax.train.arithmetic import describe_kernels, difference
from cnnjax.train.checkpoint import Checkpoints, Restored
from cnnjax.train.compiled import make_score, make_start, make_step
from cnnjax.train.devices import Devices
from cnnjax.train.divergence import NonFiniteLossError, check_weights
from cnnjax.train.evaluation import Score
from cnnjax.train.experiment import Experiment
from cnnjax.train.interruption import Interrupted
from cnnjax.train.loop import Loop
from cnnjax.train.pretrained import check_pattern, start_from
from cnnjax.train.progress import Progress, judge, read_progress
from cnnjax.train.state import TrainState, count_parameters
from cnnjax.train.trained import take_best
from cnnjax.train.workdir import CHECKPOINTS, Origin
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
        workdir: the run's own folder.
        reporter: is told of everything.
        shapes: of a state of the run.
    """

    def __init__(
        self,
        config: Config,
        experiment: Experiment,
        devices: Devices,
        workdir: Path,
        reporter: Reporter,
        shapes: Any,
    ):
        self.config = config
        self.experiment = experiment
        self.devices = devices
        self.reporter = reporter
        self.workdir = workdir
        self.progress = Progress()
        self.shapes = shapes
        self.score = make_score(config, experiment, devices)
        self.checkpoints = Checkpoints(
            workdir / CHECKPOINTS,
            config.checkpoint.keep,
            reporter.message,
            keep_every=experiment.lengths.keep_every,
            settings=config.to_dict(),
        )

    def run(
        self,
        state: TrainState,
        stop: Callable[[], int | None],
        changes: list[str],
        watch_state: Callable[[TrainState], None] | None = None,
    ) -> Result:
        """Trains to the end, and scores it on the test split.

        Args:
            state: what ``begin`` gave.
            stop: tells the number of a signal that came.
            changes: of settings, to be told.
            watch_state: is shown the state after each step.
        """
        self.reporter.start(self._describe(state))
        self.reporter.rewind(int(state.step))
        for change in changes:
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

    def save(self, state: TrainState) -> None:
        """Starts a checkpoint.

        Raises:
            NonFiniteLossError: weights that are not finite.
        """
        check_weights(state)
        self.progress = self.progress._replace(
            seconds=self.loop.seconds(), interval=self.loop.interval.note()
        )
        self.checkpoints.best.step = self.progress.best_step
        mean, std = self.experiment.normalization
        notes = {
            "progress": self.progress._asdict(),
            "next_example": int(state.step) * self.config.batch_size,
            **self._place(),
            "config": self.config.to_dict(),
            "normalization": {"mean": mean.tolist(), "std": std.tolist()},
        }
        # A copy: the next step overwrites the state's own memory.
        self.checkpoints.save(int(state.step), self.devices.fetch(state), notes)

    def begin(self, origin: Origin | None) -> TrainState:
        """The state to go on from: on disk, or a new one.

        Args:
            origin: the run to go on with; this one, or another that it branches off.
        """
        found = self.checkpoints.restore(self.shapes)
        if found is None and origin and origin.folder != self.workdir:
            found = self._branch_off(origin)
        if found is None:
            return self._start()
        if moved := difference(found.notes, self._place()):
            self.reporter.message(moved)
        return self._take(found)

    def _branch_off(self, origin: Origin) -> Restored:
        other = Checkpoints(
            origin.checkpoints,
            tell=self.reporter.message,
            settings=self.config.to_dict(),
            read_only=True,
        )
        found = other.restore(self.shapes, origin.step)
        other.close()
        if found is None:
            raise FileNotFoundError(f"no whole state in {origin.checkpoints}")
        self.reporter.message(f"branching off {origin.folder}")
        # The best state is not here, but there.
        found.notes["progress"] |= {"best": None, "stale": 0}
        return found

    def _take(self, found: Restored) -> TrainState:
        self.progress = read_progress(found.notes)
        return self.devices.place_state(TrainState(**found.arrays))

    def _start(self) -> TrainState:
        """The state before the first step, with the weights of ``init_from``."""
        state = make_start(self.experiment, self.config)
        self.progress = Progress()
        if self.config.freeze:
            check_pattern("freeze", self.config.freeze, state.variables)
        if self.config.init_from is not None:
            tell = self.reporter.message
            state = start_from(state, self.experiment.optimizer, self.config, tell)
        return self.devices.place_state(state)

    def _train(self, state: TrainState, stop: Callable[[], int | None]) -> TrainState:
        while True:
            first = int(state.step)
            try:
                batches, begun = self._batches(first), self.progress.interval
                return self.loop.run(state, batches, stop, begun)
            except NonFiniteLossError as error:
                state = self._go_back(error, first)
            except Interrupted:
                self.checkpoints.finish()  # or else it is not true that it is saved
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
        return self.devices.place_state(state)

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
        self.checkpoints.finish()
        if self.is_over() and best:
            self.reporter.message(
                f"stopping early after step {step}: {self.progress.stale} validations"
                f" were no better than that of step {best['step']}"
            )
        notes = {"progress": self.progress._asdict()}
        here = Restored(state._asdict(), notes)
        found = take_best(self.checkpoints, self.config, here, self.shapes)
        state = self.devices.place_state(TrainState(**found.arrays))
        if int(state.step) != step:
            self.reporter.message(f"taking the best state, of step {int(state.step)}")
        test = self.score(state, self.experiment.dataset.test)
        self.loop.log("test", int(state.step), test._asdict())
        return Result(state, test)

    def _compile_step(self, state: TrainState):
        """The compiled step; compiled ahead, so that no step's time holds it."""
        begin = time.perf_counter()
        step = make_step(self.config, self.experiment, self.devices, state)
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

    def _place(self) -> dict[str, str]:
        """What the last digits of a run's numbers depend on."""
        kernels = describe_kernels(self.config, self.devices.platform)
        return {"devices": self._devices(), "kernels": kernels}

    def _devices(self) -> str:
        """As ``"cpu (cpu)"``, or ``"4 x gpu (NVIDIA H100), 2 processes"``."""
        device, n = self.devices.mesh.devices[0], self.devices.count
        many, processes = f"{n} x " if n > 1 else "", jax.process_count()
        end = f", {processes} processes" if processes > 1 else ""
        return f"{many}{device.platform} ({device.device_kind}){end}"
