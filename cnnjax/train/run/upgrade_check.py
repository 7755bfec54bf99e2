"""Steps of a trained run again, compared with what the run recorded of them.

What the run recorded is its checkpoints and the losses that it logged. Another version
of JAX, another driver or another device may round differently; this shows where.
"""

import contextlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnjax.config import Config, default_config
from cnnjax.errors import CheckpointError, ConfigError, show
from cnnjax.json_file import read_json
from cnnjax.progress import elapsing
from cnnjax.progress import tell as tell_progress
from cnnjax.streams import warn
from cnnjax.train.machine.compile import (
    compile_step,
    describe_state,
    make_initial_state,
)
from cnnjax.train.machine.devices import describe_devices
from cnnjax.train.machine.environment import describe_environment
from cnnjax.train.machine.numerics import (
    adapt_backend,
    check_backend,
    describe_backend,
    describe_options,
)
from cnnjax.train.machine.stop_request import StopRequest
from cnnjax.train.run.changes import noted_config
from cnnjax.train.run.checkpoint import Checkpoints
from cnnjax.train.run.experiment import Experiment
from cnnjax.train.run.freezing import stage_after
from cnnjax.train.run.meter import EMPTY, Interval
from cnnjax.train.run.prepare import batches_between
from cnnjax.train.run.progress import read_progress
from cnnjax.train.run.replay_start import open_run
from cnnjax.train.run.state_difference import LayerDifference, compare_states
from cnnjax.train.run.stored import Restored
from cnnjax.train.run.upgrade_span import find_span
from cnnjax.train.run.workdir import (
    NOT_FROM_DISK,
    Origin,
    checkpoint_folder,
    find_run,
    read_config,
    stored_settings,
)
from cnnjax.train.step.loss import TrainMetrics
from cnnjax.train.step.state import TrainState

ENVIRONMENT = "environment"
LOSS = TrainMetrics._fields.index("loss")


class LoggedLoss(NamedTuple):
    """A loss that the run logged after a step, and the same computed here."""

    step: int
    recorded: float
    now: float

    @property
    def ulp(self) -> float:
        """Their distance in units in the last place of float32.

        A mean over several steps may differ by a part of one.
        """
        size = max(abs(self.recorded), abs(self.now))
        return abs(self.recorded - self.now) / float(np.spacing(np.float32(size)))

    @property
    def equal(self) -> bool:
        """Whether the two are the same number."""
        return self.recorded == self.now or (
            math.isnan(self.recorded) and math.isnan(self.now)
        )


class UpgradeCheck(NamedTuple):
    """What became of steps that were taken again.

    Attributes:
        start: the step of the state that they started from; 0 for the initial weights.
        end: the last of the steps.
        recorded: what the run was computed with, as far as it says.
        present: what computes here.
        losses: each logged one, in the order of the steps.
        states: for each checkpoint that was reached, the difference of each layer.
    """

    start: int
    end: int
    recorded: Mapping[str, str]
    present: Mapping[str, str]
    losses: Sequence[LoggedLoss]
    states: Mapping[int, Sequence[LayerDifference]]

    @property
    def first_departure(self) -> int | None:
        """The first step after which something differs; ``None`` if nothing does."""
        steps = [loss.step for loss in self.losses if not loss.equal]
        for step, layers in self.states.items():
            if not all(layer.equal for layer in layers):
                steps.append(step)
        return min(steps, default=None)


def upgrade_check(
    workdir: str | Path,
    losses: Mapping[int, float],
    *,
    steps: int | None = None,
    from_step: int | None = None,
    backend: str | None = None,
) -> UpgradeCheck:
    """Takes steps of a trained run again, and compares them with its records.

    Args:
        workdir: of the run, of which nothing is changed; or the checkpoint to start at.
        losses: that the run logged, by step: means over the steps since the last one.
        steps: how many to take; by default up to the next checkpoint.
        from_step: of the checkpoint to start at, 0 for the initial weights; by default
            the newest that has a later one, else 0.
        backend: what computes here, if not the backend of the run.

    Raises:
        ConfigError: no run in ``workdir``, no such steps, or other data than the run
            was trained with.
        DataError: data that cannot be read.
        CheckpointError: a checkpoint that is damaged or of another network.
    """
    origin = find_run(workdir, "--workdir")
    from_step = origin.step if from_step is None else from_step
    checkpoints = Checkpoints(origin.checkpoints, tell=warn, read_only=True)
    with contextlib.closing(checkpoints):
        saved = sorted(checkpoints.steps())
        start, end = find_span(saved, losses, steps, from_step)
        following = min((n for n in saved if n > start), default=None)
        notes = _read_notes(origin, following or start)
        config = _config_of(origin, notes, following or start, backend)
        devices, experiment = open_run(origin, config)
        shapes = describe_state(experiment, config, training=True)

        state, interval = _start(
            checkpoints, origin, config, experiment, shapes, start, following
        )
        state = devices.put_state(state)
        logged: list[LoggedLoss] = []
        states: dict[int, list[LayerDifference]] = {}
        compiled: dict[int, Any] = {}  # by the stage of unfreezing
        batches = batches_between(config, experiment, start, end)
        total, count = interval.sums[LOSS], interval.steps
        for step in range(start + 1, end + 1):
            stage = stage_after(step - 1, experiment.lengths)
            if stage not in compiled:
                with elapsing("compiling the training step"):
                    compiled[stage] = compile_step(
                        config, experiment, devices, state, stage
                    )
            state, metrics, _ = compiled[stage](state, next(batches), StopRequest())
            total, count = total + float(metrics.loss), count + 1
            if step in losses:
                logged.append(LoggedLoss(step, losses[step], total / count))
                total, count = 0.0, 0
            if step in saved:
                recorded = _restore(checkpoints, shapes, step, origin).arrays
                states[step] = compare_states(recorded, devices.fetch(state))
            tell_progress("replaying", step - start, end - start, "steps")
    machine = {
        "devices": describe_devices(devices),
        "kernels": describe_backend(config, devices.platform),
        **describe_options(),
    }
    return UpgradeCheck(
        start,
        end,
        _texts(notes.get(ENVIRONMENT)) | _texts({n: notes.get(n) for n in machine}),
        describe_environment() | _texts(machine),
        logged,
        states,
    )


def _read_notes(origin: Origin, step: int) -> Mapping[str, Any]:
    """What the checkpoint of ``step`` notes about the run."""
    path = checkpoint_folder(origin.folder, step) / "notes" / "metadata"
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def _config_of(
    origin: Origin, notes: Mapping[str, Any], step: int, backend: str | None
) -> Config:
    """The settings that the steps were trained with, as a checkpoint notes them."""
    noted = noted_config(notes, checkpoint_folder(origin.folder, step))
    config, defaults = noted or read_config(origin.folder), default_config()
    config.update_from_flattened_dict({name: defaults[name] for name in NOT_FROM_DISK})
    if backend is None:
        return adapt_backend(config, warn)
    config.backend = backend
    check_backend(config)
    return config


def _start(
    checkpoints: Checkpoints,
    origin: Origin,
    config: Config,
    experiment: Experiment,
    shapes: TrainState,
    start: int,
    following: int | None,
) -> tuple[TrainState, Interval]:
    """The state after step ``start``, and what was counted since the last logged loss.

    After a rollback, the learning rate is lower from the checkpoint on that the run
    returned to; the checkpoint that follows holds by how much.
    """
    interval = EMPTY
    if start:
        found = _restore(checkpoints, shapes, start, origin)
        state = TrainState(**found.arrays)
        interval = Interval(*(read_progress(found.notes).interval or EMPTY))
    elif stored_settings(origin.folder).init_from is None:
        state = make_initial_state(experiment, config)
    else:
        raise ConfigError(
            "the run started with weights that are not part of it, so its first steps"
            " cannot be taken again; set --from-step to the step of a checkpoint:"
            f" {', '.join(map(str, sorted(checkpoints.steps())))}"
        )
    if following:
        later = _restore(checkpoints, shapes, following, origin)
        state = state._replace(rate_scale=later.arrays["rate_scale"])
    return state, interval


def _restore(
    checkpoints: Checkpoints, shapes: TrainState, step: int, origin: Origin
) -> Restored:
    """The state of a checkpoint; a damaged or missing one is an error."""
    found = checkpoints.restore(shapes, step)
    if found is None:
        raise CheckpointError(
            f"{checkpoint_folder(origin.folder, step)} is gone; the run may have"
            " replaced it meanwhile: run this again"
        )
    return found


def _texts(values: Any) -> dict[str, str]:
    """Values of a file that may hold anything, as short texts."""
    if not isinstance(values, Mapping):
        return {}
    return {
        str(name)[:40]: text if isinstance(text, str) else show(text)
        for name, text in values.items()
        if text not in (None, "")
    }
