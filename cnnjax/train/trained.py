"""Trained runs on disk: the state that counts, and its score."""

import sys
from pathlib import Path
from typing import Any

from cnnjax.config import Config
from cnnjax.printable import printable
from cnnjax.train import compilation_cache, data_identity
from cnnjax.train.arithmetic import adapt_kernels
from cnnjax.train.checkpoint import Checkpoints, Restored
from cnnjax.train.compiled import describe_state, make_score, make_start
from cnnjax.train.devices import make_devices
from cnnjax.train.evaluation import Score
from cnnjax.train.experiment import Experiment, make_experiment
from cnnjax.train.progress import read_progress
from cnnjax.train.state import TrainState, trained_variables
from cnnjax.train.workdir import Origin, known_normalization, read_config


def evaluate_run(workdir: str | Path, split: str) -> Score:
    """The score of a trained run on one of its splits, in the run's precision.

    Args:
        workdir: where ``train`` left the run.
        split: ``"train"``, ``"validation"`` or ``"test"``.

    Raises:
        ConfigError: no run in ``workdir``.
        CheckpointError: a state of another network or optimizer.
        FileNotFoundError: a run that saved no state.
    """
    origin = Origin(Path(workdir))
    config = adapt_kernels(read_config(origin.folder), _warn)
    compilation_cache.enable(config.compilation_cache)
    experiment = make_experiment(config, known_normalization(origin))
    identity = data_identity.describe(experiment.dataset)
    data_identity.check_file(origin.folder, identity)
    devices = make_devices()
    state = devices.place_state(make_run_state(experiment, config, workdir))
    score = make_score(config, experiment, devices)
    return score(state, getattr(experiment.dataset, split))


def make_run_state(
    experiment: Experiment, config: Config, workdir: str | Path | None = None
) -> TrainState:
    """The state at the start of a run, or the trained one that ``workdir`` holds.

    Raises:
        ConfigError: images that the network cannot take.
        CheckpointError: a state of another network or optimizer.
        FileNotFoundError: no whole state in ``workdir``.
    """
    shapes = describe_state(experiment, config)
    if workdir is None:
        return make_start(experiment, config)
    return TrainState(**_read(Origin(Path(workdir)), config, shapes).arrays)


def read_trained(origin: Origin) -> tuple[dict[str, Any], int]:
    """The variables that evaluation would use, as they are on disk, and their step.

    Raises:
        ConfigError: a damaged config.
        FileNotFoundError: no whole state.
    """
    found = _read(origin, read_config(origin.folder), None).arrays
    # A mapping without entries may leave nothing on disk.
    empty: dict[str, Any] = {"statistics": {}, "average": {}}
    state = TrainState(**empty | found)
    return trained_variables(state), int(state.step)


def _read(origin: Origin, config: Config, like: TrainState | None) -> Restored:
    """The state of a run that counts: the one named, the best, or the newest."""
    found = None
    if origin.checkpoints.is_dir():
        checkpoints = Checkpoints(origin.checkpoints, tell=_warn, read_only=True)
        found = checkpoints.restore(like, origin.step)
        if found and origin.step is None:
            found = take_best(checkpoints, config, found, like)
        checkpoints.close()
    if found is None:
        raise FileNotFoundError(
            f"no whole state in {origin.checkpoints}: train the run first"
        )
    return found


def take_best(
    checkpoints: Checkpoints, config: Config, found: Restored, like: TrainState | None
) -> Restored:
    """The best state, where early stopping asks for it and it can be read."""
    settings = config.early_stopping
    step = read_progress(found.notes).best_step
    if settings.patience is None or not settings.restore_best or step is None:
        return found
    return checkpoints.restore(like, step, has_another=True) or found


def _warn(text: str) -> None:
    print(f"cnnjax: {printable(text)}", file=sys.stderr)
