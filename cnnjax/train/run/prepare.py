"""Everything that a run needs before its first step, checked: see ``Run``."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from cnnjax.config import Config
from cnnjax.config.values import FROM_PYTHON
from cnnjax.data import Batch, Split, StreamedImages, TrainBatches, train_batches
from cnnjax.data.batches import WHOLE, Part
from cnnjax.data.image_files import count_workers
from cnnjax.data.prefetch import Prefetch
from cnnjax.data.tasks import REGRESSION
from cnnjax.train.machine import compilation_cache
from cnnjax.train.machine.agreement import check_same, check_shared
from cnnjax.train.machine.compile import describe_state, make_evaluation
from cnnjax.train.machine.device_images import put_images
from cnnjax.train.machine.devices import Devices, describe_devices, devices_of
from cnnjax.train.machine.environment import describe_environment
from cnnjax.train.machine.numerics import describe_backend, describe_options
from cnnjax.train.machine.processes import is_first
from cnnjax.train.run import data_identity, model_file
from cnnjax.train.run.calls import Calls
from cnnjax.train.run.changes import check_changes, describe_run, find_changes
from cnnjax.train.run.checkpoint import Checkpoints
from cnnjax.train.run.evaluation import Evaluation
from cnnjax.train.run.experiment import Experiment, Parts, make_experiment
from cnnjax.train.run.folder_name import check_name
from cnnjax.train.run.from_data import make_class_order
from cnnjax.train.run.imports import warn_of_changes, write_imports
from cnnjax.train.run.lock import Hold, lock
from cnnjax.train.run.model_file import describe_model
from cnnjax.train.run.progress import Progress
from cnnjax.train.run.workdir import (
    CHECKPOINTS,
    Origin,
    find_origin,
    known_normalization,
    stored_settings,
    write,
)
from cnnjax.train.step.state import TrainState, count_parameters
from cnnjax.typing import Reporter


class Run(NamedTuple):
    """One process's part of a run; nothing here changes while it trains.

    Attributes:
        config: checked settings.
        experiment: what they stand for: data, network, optimizer, lengths.
        devices: where the run computes.
        hold: its working directory, locked.
        reporter: receives progress, metrics and messages.
        shapes: of a state.
        identity: of the data.
        origin: the run to resume: this one, or another that it branches off; ``None``
            where a new run starts.
        evaluate: ``(state, split) -> Evaluation``, compiled.
        images: of the training split, if they stay on the devices.
    """

    config: Config
    experiment: Experiment
    devices: Devices
    hold: Hold
    reporter: Reporter
    shapes: TrainState
    identity: data_identity.Identity
    origin: Origin | None
    evaluate: Callable[[TrainState, Split], Evaluation]
    images: jax.Array | None

    @property
    def examples(self) -> int:
        """The number of examples of the training split."""
        return len(self.experiment.dataset.train.labels)

    def open_checkpoints(self) -> Checkpoints:
        """The checkpoints of this run, to be closed at its end."""
        return Checkpoints(
            self.hold.workdir / CHECKPOINTS,
            self.config.checkpoint.keep,
            self.reporter.message,
            keep_every=self.experiment.lengths.keep_every,
            settings=self.config.to_dict(),
            tell_saved=self.reporter.checkpoint,
            hold=self.hold,
        )

    def late_data(self) -> str:
        """What to do if training waits for data; empty where nothing is on disk."""
        images = self.experiment.dataset.train.images
        if not isinstance(images, StreamedImages):
            return ""
        if not images.decodes:
            return (
                "raise data.worker_processes (now"
                f" {self.config.data.worker_processes}), or, if the images fit in"
                " memory, set data.streaming to false"
            )
        settings = self.config.data
        advice = [
            f"raise data.workers (now {count_workers(settings.workers)})",
            "lower data.image_size",
            "if the images fit in memory, set data.streaming to false",
        ]
        if settings.cache != "disk" and not settings.random_part:
            advice.insert(0, "set data.cache to 'disk'")
        return "; ".join(advice)

    def batches(self, first: int, calls: Calls) -> Prefetch[Batch]:
        """This process's share of the batches of the calls that follow ``first``."""
        last = max(self.experiment.lengths.total, first)
        return batches_between(
            *(self.config, self.experiment, first, last, self.devices.part),
            picks=self.images is not None,
            end=calls.end if calls.longest > 1 else None,
            longest=calls.longest,
        )

    def batch(self, step: int) -> Batch:
        """This process's share of the batch of one step, with its images."""
        return TrainBatches(
            self.experiment.dataset.train,
            self.config.batch_size,
            self.config.seed,
            start_step=step - 1,
            num_steps=1,
            part=self.devices.part,
            classes=make_class_order(self.config, self.experiment.dataset),
            alternates=self.experiment.alternates,
        )[0]

    def is_finished(self, step: int, progress: Progress) -> bool:
        """Whether no further step is to be taken after ``step``."""
        at_end = step >= self.experiment.lengths.total
        return at_end or progress.is_out_of_patience(self.config)

    def notes(self) -> dict[str, Any]:
        """What a checkpoint notes about the run, apart from its progress."""
        run = describe_run(self.config, self.experiment, self.identity)
        versions = {"environment": describe_environment()}
        return run | versions | self.machine_notes()

    def machine_notes(self) -> dict[str, Any]:
        """What the numbers of a run depend on, apart from its settings and data."""
        return {
            "devices": describe_devices(self.devices),
            "kernels": describe_backend(self.config, self.devices.platform),
            **describe_options(),
        }

    def summary(self, state: TrainState, progress: Progress) -> dict[str, Any]:
        """What a reporter's ``start`` receives."""
        total, batch_size = self.experiment.lengths.total, self.config.batch_size
        return {
            "name": self._model_name(),
            "total_steps": total,
            "examples": self.examples,
            "epochs": round(total * batch_size / self.examples, 2),
            "batch_size": batch_size,
            "parameters": count_parameters(state.params),
            "device": describe_devices(self.devices),
            "workdir": str(self.hold.workdir),
            "metrics": self._metric_names(),
            "monitor": self.experiment.monitor.name,
            "higher_is_better": self.experiment.monitor.higher_is_better,
            "min_improvement": self.config.early_stopping.min_improvement,
            "best": progress.best,
        }

    def _metric_names(self) -> list[str]:
        """Of the numbers of an evaluation."""
        if self.experiment.dataset.task == REGRESSION:
            return ["loss", *self.experiment.metrics]
        return ["loss", "accuracy", *self.experiment.metrics]

    def _model_name(self) -> str:
        name = self.config.model.name
        return type(self.experiment.model).__name__ if name == FROM_PYTHON else name

    def write_files(self, progress: Progress) -> None:
        """Writes the files that describe the run, right before its first step."""
        if is_first():
            normalization = self.experiment.normalization
            write_imports(self.hold.workdir, self.config)
            write(self.hold.workdir, self.config, normalization, self.identity)
            self.update_model_file(progress)

    def update_model_file(self, progress: Progress) -> None:
        """Writes what using the model needs, with the best score so far.

        A disk without room is reported and does not end the run.
        """
        if is_first():
            model = describe_model(self.config, self.experiment, progress.best)
            try:
                model_file.write(self.hold.workdir, model)
            except OSError as error:
                self.reporter.message(f"{error}; training continues")


def batches_between(
    config: Config,
    experiment: Experiment,
    first: int,
    last: int,
    part: Part = WHOLE,
    **how: Any,
) -> Prefetch[Batch]:
    """The batches of the steps after ``first`` up to ``last``.

    Args:
        config: checked settings.
        experiment: what they stand for.
        first: how many steps came before.
        last: the last step.
        part: the share of each batch to load.
        **how: further arguments of ``train_batches``.
    """
    return train_batches(
        experiment.dataset.train,
        config.batch_size,
        config.seed,
        start_step=first,
        num_steps=last - first,
        part=part,
        classes=make_class_order(config, experiment.dataset),
        alternates=experiment.alternates,
        processes=config.data.worker_processes,
        **how,
    )


@contextlib.contextmanager
def prepare(
    config: Config, workdir: Path, reporter: Reporter, resume: str, parts: Parts
) -> Iterator[Run]:
    """Locks the working directory, loads the data, and builds and checks all parts.

    Args:
        config: checked settings.
        workdir: the run's own folder.
        reporter: receives progress, metrics and messages.
        resume: see ``cnnjax.train.run.loop.train``.
        parts: of the run that need not be built.

    Yields:
        The run; no other run can touch its folder meanwhile.

    Raises:
        ConfigError: invalid settings, or a folder that is in use.
        DataError: data that cannot be read.
    """
    check_name(workdir)
    # One process holds the lock for all of its run.
    locked = lock(workdir) if is_first() else contextlib.nullcontext(Hold(workdir))
    with locked as hold:
        check_shared(workdir)
        origin = find_origin(workdir, resume, reporter.message)
        if origin:
            old = stored_settings(origin.folder)
            check_changes(origin.folder, find_changes(old, config))
            places = old.data.source, config.data.source
            if places[0] != places[1]:
                data_identity.check_comparable(origin.folder, *places)
        compilation_cache.enable(config.compilation_cache)
        devices = devices_of(config)
        known = known_normalization(origin)
        experiment = make_experiment(config, known, reporter.message, parts)
        identity = data_identity.describe(experiment.dataset)
        if origin:
            warn_of_changes(origin.folder, config)
            data_identity.check_file(origin.folder, identity, experiment.dataset)
        check_same(config, identity, experiment.normalization, resume, devices.platform)
        images = put_images(config, devices, experiment.dataset.train.images)
        yield Run(
            config=config,
            experiment=experiment,
            devices=devices,
            hold=hold,
            reporter=reporter,
            shapes=describe_state(experiment, config, training=True),
            identity=identity,
            origin=origin,
            evaluate=make_evaluation(config, experiment, devices),
            images=images,
        )
