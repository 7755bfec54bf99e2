"""What a replay starts from: the parts of a run, and a checkpoint or a first state."""

import contextlib

from cnnjax.config import Config
from cnnjax.errors import ConfigError, show
from cnnjax.streams import warn
from cnnjax.train.machine import compilation_cache
from cnnjax.train.machine.compile import describe_state, make_initial_state
from cnnjax.train.machine.devices import Devices, describe_devices, devices_of
from cnnjax.train.run import data_identity
from cnnjax.train.run.checkpoint import Checkpoints
from cnnjax.train.run.experiment import Experiment, make_experiment
from cnnjax.train.run.fine_tuning import start_from
from cnnjax.train.run.imports import import_recorded
from cnnjax.train.run.progress import Progress, read_progress
from cnnjax.train.run.stored import Restored
from cnnjax.train.run.workdir import Origin, known_normalization, stored_settings
from cnnjax.train.step.state import TrainState
from cnnjax.weights.hub import is_on_hub


def open_run(origin: Origin, config: Config) -> tuple[Devices, Experiment]:
    """The devices and the parts of a run on disk, with the data that it was trained on.

    Args:
        origin: where the run is.
        config: its settings.

    Raises:
        ConfigError: other devices, data or code than the run was trained with.
        DataError: data that cannot be read.
    """
    import_recorded(origin.folder, config)
    compilation_cache.enable()
    devices = devices_of(config)
    experiment = make_experiment(config, known_normalization(origin))
    identity = data_identity.describe(experiment.dataset)
    data_identity.check_file(origin.folder, identity, experiment.dataset)
    return devices, experiment


def nearest_state(
    origin: Origin, config: Config, experiment: Experiment, devices: Devices, step: int
) -> TrainState:
    """The newest state on disk at or before a step; else the one before training.

    After a rollback, the learning rate is lower from the checkpoint on that the run
    returned to; the checkpoint after the step holds by how much.
    """
    shapes = describe_state(experiment, config, training=True)
    saved, later, scale = None, None, None
    checkpoints = Checkpoints(origin.checkpoints, tell=warn, read_only=True)
    with contextlib.closing(checkpoints):
        steps = checkpoints.steps()
        for number in reversed([n for n in steps if n > step]):
            if later := checkpoints.restore(shapes, number, has_another=True):
                scale = later.arrays["rate_scale"]
                break
        for number in [n for n in steps if n <= step]:
            if saved := checkpoints.restore(shapes, number, has_another=True):
                break
    if noted := saved or later:
        _check_devices(noted.notes.get("devices"), describe_devices(devices))
    if saved:
        state = TrainState(**saved.arrays)
    else:
        state = make_initial_state(experiment, config)
        if stored_settings(origin.folder).init_from is not None:
            state = _with_weights(origin, state, experiment, later, step)
    if scale is not None:
        state = state._replace(rate_scale=scale)
    return devices.put_state(state)


def _check_devices(then: str | None, now: str) -> None:
    """Warns of other devices than those that a checkpoint notes.

    Raises:
        ConfigError: several processes with another number of devices in all.
    """
    if then in (None, now):
        return
    counts = [int(text.split(" x ")[0]) if " x " in text else 1 for text in (then, now)]
    if "processes" in then and counts[0] != counts[1]:
        raise ConfigError(
            f"the run was trained on {then}, and replay runs in one process, here on"
            f" {now}; start it where one process has {counts[0]} devices (on a CPU,"
            f" with XLA_FLAGS=--xla_force_host_platform_device_count={counts[0]})"
        )
    warn(f"the run was trained on {then}, and this is {now}: numbers may differ")


def _with_weights(
    origin: Origin,
    state: TrainState,
    experiment: Experiment,
    later: Restored | None,
    step: int,
) -> TrainState:
    """The state before the first step of a run that started with other weights.

    Args:
        origin: the run.
        state: its initial one, without these weights.
        experiment: of the run.
        later: a later checkpoint, which notes the digest of the weights.
        step: before which the state is wanted.

    Raises:
        ConfigError: the weights are gone, or are not those of the start any more.
    """
    config = stored_settings(origin.folder)
    name = show(config.init_from)
    progress = read_progress(later.notes) if later else Progress()
    if source := progress.weights_source:  # the very commit on the hub
        kind = "" if is_on_hub(config.init_from) else config.init_from.split(":")[0]
        config.init_from = f"{kind}:{source}" if kind else source
    need = (
        f"step {step + 1} has no checkpoint before it, and the run started with {name}"
    )
    try:
        state, weights = start_from(state, experiment, config, lambda text: None)
    except (ConfigError, OSError) as error:
        raise ConfigError(f"{need}, which cannot be read: {error}") from error
    if later and progress.weights != weights.digest:
        was = f"SHA-256 {progress.weights[:16]}..." if progress.weights else "no digest"
        raise ConfigError(
            f"{need}, which has changed: the run noted {was}, and now it has SHA-256"
            f" {weights.digest[:16]}...; put the old weights there, or replay a step"
            " after the first checkpoint"
        )
    if not later:
        warn(f"no checkpoint notes which weights {name} held; taking its current ones")
    return state
