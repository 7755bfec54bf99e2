"""The state from which a run begins: one of another run, or a new one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnnjax.config import Config
from cnnjax.train.machine.compile import make_initial_state
from cnnjax.train.run.changes import Change, check_changes, find_changes
from cnnjax.train.run.checkpoint import Checkpoints, Restored
from cnnjax.train.run.data_identity import Identity
from cnnjax.train.run.experiment import Experiment
from cnnjax.train.run.fine_tuning import check_pattern, start_from
from cnnjax.train.run.noted import check_noted, noted_config, place_of
from cnnjax.train.run.workdir import Origin
from cnnjax.train.step.state import TrainState

Tell = Callable[[str], None]


def branch_off(origin: Origin, shapes: Any, config: Config, tell: Tell) -> Restored:
    """The state of another run, which this one continues.

    Args:
        origin: the other run.
        shapes: of a state of this one.
        config: of this one.
        tell: takes a sentence for people.

    Raises:
        CheckpointError: a state of another network or optimizer.
        FileNotFoundError: no whole state.
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
        raise FileNotFoundError(f"no whole state in {origin.checkpoints}")
    tell(f"branching off {origin.folder}")
    # The best state is not here, but there.
    found.notes["progress"] |= {"best": None, "stale": 0}
    return found


def check_found(
    found: Restored,
    run: Path,
    config: Config,
    experiment: Experiment,
    identity: Identity,
) -> list[Change]:
    """Refuses a state of a run other than its files and the command describe.

    Args:
        found: the state with its notes.
        run: the working directory in which it lies.
        config: of the command.
        experiment: what ``config`` stands for.
        identity: of the data.

    Returns:
        The settings that the command changes; empty if the state does not note its own.

    Raises:
        ConfigError: the first difference that matters.
    """
    place = place_of(run, int(found.arrays["step"]))
    before = noted_config(found.notes, place)
    changes = find_changes(before, config) if before else []
    check_changes(run, changes)
    check_noted(found.notes, place, experiment.normalization, identity)
    return changes


def start_anew(experiment: Experiment, config: Config, tell: Tell) -> TrainState:
    """The state before the first step, with the weights of ``init_from``.

    Raises:
        ConfigError: images that the network cannot take, a pattern that matches no
            name, or no such run to start from.
    """
    state = make_initial_state(experiment, config)
    if config.freeze:
        check_pattern("freeze", config.freeze, state.variables)
    if config.init_from is None:
        return state
    return start_from(state, experiment.optimizer, config, tell)
