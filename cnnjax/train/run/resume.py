"""The state from which a run continues: from disk, new, or rolled back to."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from cnnjax.config import Config
from cnnjax.errors import NonFiniteLossError
from cnnjax.train.machine.compile import make_initial_state
from cnnjax.train.machine.numerics import differences, why_slow
from cnnjax.train.run.changes import (
    Change,
    check_changes,
    check_finished,
    check_noted,
    find_changes,
    noted_config,
)
from cnnjax.train.run.checkpoint import Checkpoints
from cnnjax.train.run.details import report_inputs
from cnnjax.train.run.fine_tuning import start_from
from cnnjax.train.run.first_failure import describe_failure
from cnnjax.train.run.freezing import check_freezing
from cnnjax.train.run.prepare import Run
from cnnjax.train.run.progress import Progress, read_progress
from cnnjax.train.run.replay import replay_step
from cnnjax.train.run.stored import Restored
from cnnjax.train.run.training_step import describe_rates
from cnnjax.train.run.update_size import find_large
from cnnjax.train.run.workdir import Origin, checkpoint_folder
from cnnjax.train.step.state import TrainState


def resume_run(run: Run, checkpoints: Checkpoints) -> tuple[TrainState, Progress]:
    """The state from which a run continues and its progress, which are reported.

    That is the newest intact state of the run, else a state of the run that it branches
    off, else a new one.

    Args:
        run: what is to be trained.
        checkpoints: of the run.

    Raises:
        ConfigError: a finished run, or a state that does not match the run's files.
        CheckpointError: a state of another network or optimizer.
        FileNotFoundError: no intact checkpoint in the run to branch off.
    """
    tell, folder = run.reporter.message, run.hold.workdir
    if slow := why_slow(run.config.precision, run.devices.platform):
        tell(slow)
    found = checkpoints.restore(run.shapes)
    if found is None and run.origin and run.origin.folder != folder:
        folder = run.origin.folder
        found = _branch_off(run.origin, run.shapes, run.config, tell)
    changes: list[Change] = []
    if found is None:
        state, progress = _start_new(run)
    else:
        changes = _check_found(found, folder, run)
        for difference in differences(found.notes, run.machine_notes()):
            tell(difference)
        state, progress = _place(found, run)
        _check_finished(run, folder, int(state.step), progress, changes)
    run.reporter.start(run.summary(state, progress))
    report_inputs(run)
    run.reporter.rewind(int(state.step))
    if rates := describe_rates(run.config, run.experiment):
        tell(rates)
    for change in changes:
        same = "; the data is the same" if change.name == "data.source" else ""
        tell(f"changed setting {change}{same}")
    if state.step:
        tell(f"resuming after step {int(state.step)}")
    return state, progress


def roll_back(
    run: Run,
    checkpoints: Checkpoints,
    progress: Progress,
    error: NonFiniteLossError,
    first: int,
) -> tuple[TrainState, Progress]:
    """The last good state that was saved, with a lower learning rate.

    Args:
        run: what is trained.
        checkpoints: of the run.
        progress: when the loss was not finite.
        error: what happened.
        first: the step of the state that training last started from.

    Raises:
        NonFiniteLossError: if the settings do not allow it, or not once more.
    """
    settings, count = run.config.rollback, progress.rollbacks + 1
    if run.config.on_nan != "rollback":
        raise _explained(run, error) from error
    run.hold.check()
    if count > settings.times:
        raise NonFiniteLossError(
            f"{error}. The run went back {settings.times} times already, as often as"
            " rollback.times allows"
        ) from error
    if error.step == first + 1:  # No rate can help: that state gives the loss.
        checkpoints.discard(first, "its loss is not finite")
    found = checkpoints.restore(run.shapes)
    state, progress = _place(found, run) if found else _start_new(run)
    scale = settings.factor**count
    run.reporter.rewind(int(state.step))
    run.reporter.message(
        f"{str(error).partition('. ')[0]}; going back to step {int(state.step)} with"
        f" {scale:g} times the learning rate (rollback {count} of {settings.times})"
    )
    state = state._replace(rate_scale=np.float32(scale))
    return run.devices.put_state(state), progress._replace(rollbacks=count)


def _explained(run: Run, error: NonFiniteLossError) -> NonFiniteLossError:
    """The error with the layer and the example where it began.

    The step is repeated from the checkpoint before it, by one process.
    """
    if error.step is None or jax.process_count() > 1:
        return error
    run.reporter.message(
        f"the loss or its gradient is not finite at step {error.step}; repeating it to"
        " find out why"
    )
    origin = Origin(run.hold.workdir)
    try:
        failed = replay_step(
            origin, run.config, run.experiment, run.devices, error.step
        )
        found = (describe_failure(failed), find_large(failed.updates))
        cause = ". ".join(f"{text[0].upper()}{text[1:]}" for text in found if text)
    except Exception as failure:  # the first error matters
        cause = f"The cause is unknown, because repeating the step failed: {failure}"
    return NonFiniteLossError(f"{error}. {cause}" if cause else str(error), error.step)


def _place(found: Restored, run: Run) -> tuple[TrainState, Progress]:
    """A restored state on the devices of the run, and its progress."""
    state = run.devices.put_state(TrainState(**found.arrays))
    return state, read_progress(found.notes)


def _start_new(run: Run) -> tuple[TrainState, Progress]:
    """The state before the first step, with the weights of ``init_from``.

    Raises:
        ConfigError: images that the network cannot take, a pattern that matches no
            name, or no such run or file to start from.
    """
    run.hold.note_saved(None)
    config, experiment = run.config, run.experiment
    state = make_initial_state(experiment, config)
    check_freezing(config, state.variables)
    progress = Progress()
    if config.init_from is not None:
        tell = run.reporter.message
        state, weights = start_from(state, experiment, config, tell)
        progress = Progress(weights=weights.digest, weights_source=weights.source)
    return run.devices.put_state(state), progress


def _branch_off(
    origin: Origin, shapes: TrainState, config: Config, tell: Callable[[str], None]
) -> Restored:
    """The state of another run, which this one continues.

    Args:
        origin: the other run.
        shapes: of a state of this one.
        config: of this one.
        tell: takes a sentence for people.

    Raises:
        CheckpointError: a state of another network or optimizer.
        FileNotFoundError: no intact checkpoint.
    """
    settings = config.to_dict()
    other = Checkpoints(
        origin.checkpoints, tell=tell, settings=settings, read_only=True
    )
    try:
        found = other.restore(shapes, origin.step)
    finally:
        other.close()
    if found is None:
        raise FileNotFoundError(f"no intact checkpoint in {origin.checkpoints}")
    tell(f"branching off {origin.folder}")
    # The best state is not here, but there.
    found.notes["progress"] |= {"best": None, "stale": 0}
    return found


def _check_found(found: Restored, folder: Path, run: Run) -> list[Change]:
    """Refuses a state that does not match its run's files and the command.

    Args:
        found: the state with its notes.
        folder: the working directory in which it lies.
        run: what the command asks for.

    Returns:
        The settings that the command changes; empty if the state does not note its own.

    Raises:
        ConfigError: the first difference that matters.
    """
    checkpoint = checkpoint_folder(folder, int(found.arrays["step"]))
    before = noted_config(found.notes, checkpoint)
    changes = find_changes(before, run.config) if before else []
    check_changes(folder, changes)
    experiment = run.experiment
    check_noted(
        found.notes,
        checkpoint,
        experiment.normalization,
        run.identity,
        experiment.dataset,
    )
    return changes


def _check_finished(
    run: Run, folder: Path, step: int, progress: Progress, changes: list[Change]
) -> None:
    """Refuses a command that expects something new from a finished run."""
    if run.is_finished(step, progress):
        check_finished(
            changes,
            run=folder,
            done=step,
            total=run.experiment.lengths.total,
            stopped_early=progress.is_out_of_patience(run.config),
            is_new=folder != run.hold.workdir,
        )
