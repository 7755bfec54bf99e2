"""Whole runs in a working directory."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from cnnjax.config import Config
from cnnjax.train.machine import compilation_cache
from cnnjax.train.machine.agreement import check_same, check_shared
from cnnjax.train.machine.compile import describe_state
from cnnjax.train.machine.devices import devices_of
from cnnjax.train.machine.numerics import why_slow
from cnnjax.train.machine.processes import is_first
from cnnjax.train.machine.signals import watch
from cnnjax.train.run import data_identity
from cnnjax.train.run.changes import check_changes, find_changes
from cnnjax.train.run.experiment import make_experiment
from cnnjax.train.run.folder_name import check_name
from cnnjax.train.run.lock import Hold, lock
from cnnjax.train.run.session import Result, Session
from cnnjax.train.run.workdir import (
    find_origin,
    known_normalization,
    stored_settings,
    write,
)
from cnnjax.train.step.state import TrainState
from cnnjax.typing import Reporter


def train(
    config: Config,
    workdir: str | Path,
    reporter: Reporter,
    resume: str = "auto",
    watch_state: Callable[[TrainState], None] | None = None,
) -> Result:
    """Trains as ``config`` says and leaves everything in ``workdir``.

    Writes ``config.json``, ``normalization.json``, ``data.json`` and ``checkpoints/``;
    what the reporter writes comes to that. A run that is there already goes on from its
    newest checkpoint, at the very next batch, and ends as if it had never stopped.

    Args:
        config: checked settings.
        workdir: the run's own working directory.
        reporter: is told of everything.
        resume: ``"auto"``; ``"never"``, which refuses a folder that holds a run; or
            another run's working directory or checkpoint, from whose state a new run
            goes on exactly.
        watch_state: is shown the state after each step, for checks.

    Raises:
        ConfigError: settings that cannot be or that the run cannot go on with, or a
            ``workdir`` that is in use or cannot be written.
        DataError: data that cannot be read.
        CheckpointError: a state that cannot be written, or is of another network.
        FileNotFoundError: another run that holds no whole state.
        NonFiniteLossError: a loss that is NaN or infinite.
        Interrupted: a signal asked the run to stop; its state is saved.
    """
    check_name(Path(workdir))
    with _lock(Path(workdir)) as hold:
        check_shared(hold.workdir)
        return _train(config, hold, reporter, resume, watch_state)


def _train(
    config: Config,
    hold: Hold,
    reporter: Reporter,
    resume: str,
    watch_state: Callable[[TrainState], None] | None,
) -> Result:
    """Trains in a folder that no other run can touch."""
    workdir = hold.workdir
    origin = find_origin(workdir, resume, reporter.message)
    if origin:
        old = stored_settings(origin.folder)
        check_changes(origin.folder, find_changes(old, config))
    compilation_cache.enable(config.compilation_cache)
    devices = devices_of(config)
    experiment = make_experiment(config, known_normalization(origin), reporter.message)
    identity = data_identity.describe(experiment.dataset)
    if origin:
        data_identity.check_file(origin.folder, identity)
    normalization = experiment.normalization
    check_same(config, identity, normalization, resume, devices.platform)
    shapes = describe_state(experiment, config, training=True)

    def describe() -> None:
        if is_first():
            write(workdir, config, normalization, identity)

    with watch() as stop:
        session = Session(config, experiment, devices, hold, reporter, shapes, identity)
        if slow := why_slow(config.precision, devices.platform):
            reporter.message(slow)
        try:
            state = session.begin(origin)
            return session.run(state, stop, describe, watch_state)
        finally:
            session.checkpoints.close()


def _lock(workdir: Path) -> AbstractContextManager[Hold]:
    """The lock of a folder; one process holds it for all of its run."""
    return lock(workdir) if is_first() else nullcontext(Hold(workdir))
