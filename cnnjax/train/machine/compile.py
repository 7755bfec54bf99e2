"""The functions of a run, compiled for its devices: its step, its score, its start."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec

from cnnjax.config import Config
from cnnjax.data import Batch, Split
from cnnjax.errors import BackendError, ConfigError
from cnnjax.train.machine.devices import AXIS, Devices, batch_shapes, stop_request_shape
from cnnjax.train.machine.footprint import check_footprint
from cnnjax.train.machine.numerics import as_configured
from cnnjax.train.machine.stop_request import WIDTH, StopRequest, encode
from cnnjax.train.run.evaluation import Score, evaluate
from cnnjax.train.run.experiment import Experiment
from cnnjax.train.step.objective import make_gradients
from cnnjax.train.step.state import TrainState, make_state
from cnnjax.train.step.step import (
    TrainMetrics,
    make_eval_step,
    make_train_step,
    make_update,
)

WHOLE, DIVIDED = PartitionSpec(), PartitionSpec(AXIS)


def make_initial_state(experiment: Experiment, config: Config) -> TrainState:
    """The state before the first step, on one device.

    Raises:
        ConfigError: images that the network cannot take, or the backend not compute.
    """
    shape = experiment.dataset.train.images.shape[1:]
    averaged = config.average_decay is not None
    make = as_configured(config, make_state)
    try:
        return make(
            experiment.model,
            experiment.optimizer,
            shape,
            config.seed,
            averaged=averaged,
        )
    except BackendError as error:
        raise ConfigError(str(error)) from error
    except ValueError as error:
        raise ConfigError(
            f"model {config.model.name!r} cannot take images of shape {shape}: {error}"
        ) from error


def describe_state(
    experiment: Experiment, config: Config, *, training: bool = False
) -> Any:
    """The shapes of a state of the run, without making one.

    Args:
        experiment: what the settings stand for.
        config: checked settings.
        training: whether memory has to be enough for training, not just for the state.

    Raises:
        ConfigError: images that the network cannot take, or too little memory.
    """
    shapes = jax.eval_shape(lambda: make_initial_state(experiment, config))
    images = experiment.dataset.train.images
    check_footprint(shapes, config, images, training=training)
    return shapes


def make_score(
    config: Config, experiment: Experiment, devices: Devices
) -> Callable[[TrainState, Split], Score]:
    """The function that scores a state on a split, each example once."""
    largest = max(len(split.labels) for split in experiment.dataset[:3])
    size = min(config.eval_batch_size, largest)
    return partial(
        evaluate,
        _make_eval_function(config, experiment, devices),
        devices=devices,
        batch_size=-(-size // devices.count) * devices.count,
    )


def compile_step(
    config: Config, experiment: Experiment, devices: Devices, state: TrainState
) -> Callable[[TrainState, Batch, StopRequest], tuple[TrainState, TrainMetrics, Any]]:
    """The compiled training step: ``(state, batch, wish) -> (state, metrics, total)``.

    It takes this process's share of a batch. The total is the sum of all processes'
    wishes, and ``None`` where there is one process.
    """
    if devices.kind == "pmap" and jax.process_count() > 1:
        # JAX cannot compile this one ahead.
        compiled = _make_function(config, experiment, devices, state)
    else:
        compiled = lower_step(config, experiment, devices, state).compile()
    if jax.process_count() == 1:
        return lambda state, batch, wish: (
            *compiled(state, devices.put_batch(batch)),
            None,
        )
    rest = np.zeros((devices.local_count - 1, WIDTH), np.int32)

    def step(state: TrainState, batch: Batch, wish: StopRequest):
        wishes = np.concatenate([encode(wish)[None], rest])
        return compiled(state, *devices.put_batch((batch, wishes)))

    return step


def lower_step(
    config: Config, experiment: Experiment, devices: Devices, state: TrainState
) -> jax.stages.Lowered:
    """The training step for the devices, not yet compiled.

    Args:
        config: checked settings.
        experiment: what they stand for.
        devices: where the step runs.
        state: placed on the devices.
    """
    step = _make_function(config, experiment, devices, state)
    shapes: list[Any] = [
        batch_shapes(devices, experiment.dataset.train, config.batch_size)
    ]
    if jax.process_count() > 1:
        shapes.append(stop_request_shape(devices))
    return step.lower(state, *shapes)


def lower_eval_step(
    config: Config, experiment: Experiment, devices: Devices, state: TrainState
) -> jax.stages.Lowered:
    """The evaluation step on batches of the training step's size, not yet compiled.

    Args:
        config: checked settings.
        experiment: what they stand for.
        devices: where the step runs.
        state: placed on the devices.
    """
    shapes = batch_shapes(devices, experiment.dataset.train, config.batch_size)
    return _make_eval_function(config, experiment, devices).lower(state, shapes)


def _make_eval_function(config, experiment, devices) -> Any:
    """The evaluation step as a function of the devices, not yet lowered."""
    eval_step = make_eval_step(
        experiment.model, experiment.loss, experiment.normalization, AXIS
    )
    return _over_devices(devices, as_configured(config, eval_step), divided=1)


def _make_function(config, experiment, devices, state) -> Any:
    """The training step as a function of the devices, not yet lowered."""
    of_batch = make_gradients(
        experiment.model,
        experiment.loss,
        experiment.normalization,
        crop_padding=config.data.crop_padding,
        flip=config.data.flip,
        accumulate_steps=config.accumulate_steps,
        axis_name=AXIS,
    )
    update = make_update(
        experiment.optimizer,
        experiment.schedule,
        freeze=config.freeze,
        average_decay=config.average_decay,
        spike_factor=config.spike_factor,
    )
    of_batch = as_configured(config, of_batch)
    make = _sharded_update if devices.shards_optimizer else _same_update
    return make(devices, of_batch, update, state, int(jax.process_count() > 1))


def _same_update(devices, of_batch, update, state, many):
    """The step where each device makes the whole update, all the same."""
    train_step = make_train_step(of_batch, update)

    def step(state, batch, *wishes):
        return *train_step(state, batch), *map(_total, wishes)

    return _over_devices(devices, step, divided=1 + many, donate_argnums=0)


def _sharded_update(devices, of_batch, update, state, many):
    """The step where each device updates the part of the optimizer that it holds.

    The compiler divides the update itself, and gathers the parameters afterwards (the
    first stage of ZeRO, Rajbhandari et al. 2020).
    """

    def find(state, batch, *wishes):
        return of_batch(state, batch), *map(_total, wishes)

    find = _over_devices(devices, find, divided=1 + many)

    def step(state, batch, *wishes):
        # The gradients do not look at the optimizer's memory.
        found, *totals = find(state._replace(opt_state=()), batch, *wishes)
        return *update(state, found), *totals

    places = (devices.state_shardings(state), *[devices.replicated] * (1 + many))
    return jax.jit(step, donate_argnums=0, out_shardings=places)


def _total(wishes: jax.Array) -> jax.Array:
    return lax.psum(wishes.reshape(-1, WIDTH).sum(0), AXIS)


def _over_devices(devices: Devices, function, divided: int, **options) -> Any:
    """A function of a state and divided arrays, compiled to run on each device.

    Its results have to be the same on all.
    """
    if devices.kind == "pmap":
        return jax.pmap(
            function,
            AXIS,
            in_axes=(None, *[0] * divided),
            out_axes=None,
            devices=list(devices.mesh.devices),
            **options,
        )
    mapped = jax.shard_map(
        function,
        mesh=devices.mesh,
        in_specs=(WHOLE, *[DIVIDED] * divided),
        out_specs=WHOLE,
        check_vma=False,
    )
    return jax.jit(mapped, **options)
