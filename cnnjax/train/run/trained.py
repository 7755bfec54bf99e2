"""Trained runs on disk: the state with which they ended."""

from pathlib import Path
from typing import Any

from cnnjax.config import Config
from cnnjax.errors import ConfigError
from cnnjax.streams import warn
from cnnjax.train.machine.compile import describe_state, make_initial_state
from cnnjax.train.run.changes import (
    find_changes,
    noted_config,
    why_fixed,
)
from cnnjax.train.run.checkpoint import Checkpoints
from cnnjax.train.run.experiment import Experiment
from cnnjax.train.run.lock import saved_step
from cnnjax.train.run.progress import read_progress
from cnnjax.train.run.stored import Restored
from cnnjax.train.run.workdir import (
    CONFIG,
    Origin,
    checkpoint_folder,
    find_run,
    read_config,
    stored_settings,
)
from cnnjax.train.step.state import TrainState, trained_variables

BEST, LAST = "best", "last"


def make_run_state(
    experiment: Experiment, config: Config, workdir: str | Path | None = None
) -> TrainState:
    """The state at the start of a run, or a trained one.

    Args:
        experiment: what ``config`` stands for.
        config: checked settings.
        workdir: the folder of a trained run, or one of its checkpoints.

    Raises:
        ConfigError: images that the network cannot take, or no run in ``workdir``.
        CheckpointError: a state of another network or optimizer.
        FileNotFoundError: no intact checkpoint in ``workdir``.
    """
    shapes = describe_state(experiment, config)
    if workdir is None:
        return make_initial_state(experiment, config)
    origin = find_run(workdir, "--checkpoint")
    return TrainState(**find_state(origin, wants_best(config), shapes).arrays)


def read_trained(
    origin: Origin,
    takes_best: bool | None = None,
    step: str | int | None = None,
) -> tuple[dict[str, Any], int]:
    """The variables that evaluation would use, as they are on disk, and their step.

    Args:
        origin: the run.
        takes_best: whether training ends with the best state; by default, what the
            run's config says, which is then compared with the checkpoint's.
        step: which of its states, see ``cnnjax.train.run.evaluate_run.evaluate_run``.

    Raises:
        ConfigError: a damaged config, or a best state that is missing.
        FileNotFoundError: no intact checkpoint.
    """
    check = takes_best is None
    if takes_best is None:
        takes_best = wants_best(read_config(origin.folder))
    found = find_state(origin, takes_best, None, step, check_settings=check).arrays
    # An empty mapping may leave nothing on disk.
    empty: dict[str, Any] = {"statistics": {}, "average": {}}
    state = TrainState(**empty | found)
    return trained_variables(state), int(state.step)


def find_state(
    origin: Origin,
    takes_best: bool,
    like: TrainState | None,
    step: str | int | None = None,
    *,
    check_settings: bool = True,
) -> Restored:
    """One state of a run: the one with which it ended, unless ``step`` names another.

    Args:
        origin: the run.
        takes_best: whether training ends with the best state.
        like: shapes and dtypes of the state; ``None`` takes what is on disk.
        step: ``"best"``, ``"last"`` or a step.
        check_settings: whether ``config.json`` is compared with the checkpoint's.

    Raises:
        ConfigError: that state is missing or damaged, or ``config.json`` is not that
            of the run.
        FileNotFoundError: no intact checkpoint.
    """
    found = None
    step = origin.step if step is None else step
    if origin.checkpoints.is_dir():
        checkpoints = Checkpoints(origin.checkpoints, tell=warn, read_only=True)
        try:
            if isinstance(step, int):
                found = _named(checkpoints, origin, step, like)
            else:
                found = checkpoints.restore(like)
            if found and check_settings:
                _check_settings(origin, found)
            if found and not isinstance(step, int):
                _tell_newest(origin, int(found.arrays["step"]))
                if step == BEST or (step is None and takes_best):
                    found = _best(checkpoints, origin, found, like, step)
        finally:
            checkpoints.close()
    if found is None:
        raise FileNotFoundError(
            f"no intact checkpoint in {origin.checkpoints}: train the run first"
        )
    return found


def wants_best(config: Config) -> bool:
    """Whether a run ends with its best state instead of the last."""
    settings = config.early_stopping
    return settings.patience is not None and settings.restore_best


def _named(
    checkpoints: Checkpoints, origin: Origin, step: int, like: TrainState | None
) -> Restored:
    if found := checkpoints.restore(like, step, has_another=True):
        return found
    others = ", ".join(map(str, sorted(set(checkpoints.steps()) - {step}))) or "none"
    raise ConfigError(
        f"the checkpoint of step {step} in {origin.checkpoints} is missing or damaged;"
        f" other checkpoints: {others}"
    )


def _best(
    checkpoints: Checkpoints,
    origin: Origin,
    newest: Restored,
    like: TrainState | None,
    asked: str | int | None,
) -> Restored:
    """The best state; the newest if no validation came before it."""
    last, best = int(newest.arrays["step"]), read_progress(newest.notes).best_step
    if best is None and asked == BEST:
        raise ConfigError(
            f"the run in {origin.folder} has no best state, because no validation"
            f" came before step {last}; --step=last uses that one"
        )
    if best in (None, last):
        return newest
    if found := checkpoints.restore(like, best, has_another=True):
        return found
    raise ConfigError(
        f"the best state of the run in {origin.folder}, that of step {best}, is missing"
        f" or damaged; to take the last one instead, of step {last}, give --step=last"
        f" to evaluate, or name {checkpoint_folder(origin.folder, last)}"
    )


def _check_settings(origin: Origin, found: Restored) -> None:
    """Warns about or refuses settings on disk that the state was not saved with."""
    checkpoint = checkpoint_folder(origin.folder, int(found.arrays["step"]))
    noted = noted_config(found.notes, checkpoint)
    changes = find_changes(noted, stored_settings(origin.folder)) if noted else []
    if not changes:
        return
    what = (
        f"{origin.folder / CONFIG} is not what {checkpoint} was saved with:"
        f" {', '.join(map(str, changes))}"
    )
    if any(map(why_fixed, changes)):
        raise ConfigError(f"{what}; restore the file")
    warn(what)


def _tell_newest(origin: Origin, step: int) -> None:
    """Warns if the last state is gone; a damaged one was mentioned before."""
    saved = saved_step(origin.folder) or 0
    if saved > step and not checkpoint_folder(origin.folder, saved).exists():
        warn(
            f"the checkpoint of step {saved}, the last of the run in {origin.folder},"
            f" is missing; the newest one is that of step {step}"
        )
