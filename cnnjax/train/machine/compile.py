"""The steps of a run, compiled for its devices."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec

from cnnjax.config import Config
from cnnjax.data import Batch, Split
from cnnjax.data.augmentation import Variant
from cnnjax.data.tasks import SEGMENTATION
from cnnjax.errors import BackendError, ConfigError
from cnnjax.train.machine.devices import (
    AXIS,
    BATCH,
    SAME,
    Devices,
    batch_shapes,
    stop_request_shape,
)
from cnnjax.train.machine.footprint import check_footprint
from cnnjax.train.machine.numerics import configured
from cnnjax.train.machine.stop_request import WIDTH, StopRequest, encode
from cnnjax.train.run.evaluation import Evaluation, evaluate
from cnnjax.train.run.experiment import Experiment
from cnnjax.train.run.training_step import make_train_step
from cnnjax.train.step.eval_step import EvalStep
from cnnjax.train.step.loss import TrainMetrics, is_sigmoid
from cnnjax.train.step.state import TrainState, make_state


def compile_step(
    config: Config,
    experiment: Experiment,
    devices: Devices,
    state: TrainState,
    stage: int = 0,
) -> Callable[[TrainState, Batch, StopRequest], tuple[TrainState, TrainMetrics, Any]]:
    """The compiled step, ``(state, batch, request) -> (state, metrics, total)``.

    It takes this process's share of a batch. The total is the sum of all processes'
    stop requests; ``None`` if there is one process.

    Args:
        config: checked settings.
        experiment: what they stand for.
        devices: where the step runs.
        state: on the devices.
        stage: of unfreezing.
    """
    several = jax.process_count() > 1
    if several and devices.kind == "pmap":  # which JAX cannot compile ahead of time
        compiled: Any = step_on_devices(config, experiment, devices, state, stage)
    else:
        compiled = lower_step(config, experiment, devices, state, stage).compile()
    no_requests = np.zeros((devices.local_count - 1, WIDTH), np.int32)

    def step(state: TrainState, batch: Batch, request: StopRequest):
        if not several:
            return *compiled(state, devices.put_batch(batch)), None
        requests = np.concatenate([encode(request)[None], no_requests])
        return compiled(state, *devices.put_batch((batch, requests)))

    return step


def lower_step(
    config: Config,
    experiment: Experiment,
    devices: Devices,
    state: TrainState,
    stage: int = 0,
) -> jax.stages.Lowered:
    """The step that ``compile_step`` compiles, lowered for the devices.

    Args: as for ``compile_step``.
    """
    step = step_on_devices(config, experiment, devices, state, stage)
    split = experiment.dataset.train
    shapes: list[Any] = [batch_shapes(devices, split, config.batch_size)]
    if jax.process_count() > 1:
        shapes.append(stop_request_shape(devices))
    return step.lower(state, *shapes)


def step_on_devices(
    config: Config,
    experiment: Experiment,
    devices: Devices,
    state: TrainState,
    stage: int = 0,
) -> Any:
    """The training step as a jitted function of arrays on the devices.

    It is ``(state, batch) -> (state, metrics)``. With several processes it also takes
    their encoded stop requests, and also returns the sum of these.

    Args:
        config: checked settings.
        experiment: what they stand for.
        devices: where the step runs.
        state: on the devices.
        stage: of unfreezing.
    """
    train_step = make_train_step(config, experiment, stage)
    inputs = [BATCH, BATCH] if jax.process_count() > 1 else [BATCH]

    def gradients(state, batch, *requests):
        with configured(config):
            found = train_step.gradients(state, batch)
        return found, *map(sum_requests, requests)

    def step(state, batch, *requests):
        found, *total = gradients(state, batch, *requests)
        return *train_step.update(state, found), *total

    if not devices.shards_optimizer:
        return over_devices(devices, step, *inputs, donate_argnums=0)

    # Each device updates the part of the optimizer that it holds: the compiler divides
    # the update, and gathers the parameters afterward (the first stage of ZeRO,
    # Rajbhandari et al. 2020).
    all_gradients = over_devices(devices, gradients, *inputs)

    def sharded_step(state, batch, *requests):
        # The gradients do not depend on the optimizer's state.
        found, *total = all_gradients(state._replace(opt_state=()), batch, *requests)
        return *train_step.update(state, found), *total

    shardings = (devices.state_shardings(state), *[devices.replicated] * len(inputs))
    return jax.jit(sharded_step, donate_argnums=0, out_shardings=shardings)


def sum_requests(requests: jax.Array) -> jax.Array:
    """The sum of the encoded stop requests of all processes."""
    return lax.psum(requests.reshape(-1, WIDTH).sum(0), AXIS)


def lower_eval_step(
    config: Config, experiment: Experiment, devices: Devices, state: TrainState
) -> jax.stages.Lowered:
    """The evaluation step on batches of the training step's size, lowered.

    Args:
        config: checked settings.
        experiment: what they stand for.
        devices: where the step runs.
        state: on the devices.
    """
    shapes = batch_shapes(devices, experiment.dataset.train, config.batch_size)
    return eval_step_on_devices(config, experiment, devices).lower(state, shapes)


def eval_step_on_devices(
    config: Config,
    experiment: Experiment,
    devices: Devices,
    *,
    keep_outputs: bool = False,
    variants: Sequence[Variant] = (),
) -> Any:
    """The evaluation step as a jitted function of arrays on the devices."""
    metrics, task = experiment.metrics.values(), experiment.dataset.task
    needed = keep_outputs or not all(metric.is_mean for metric in metrics)
    eval_step = EvalStep(
        experiment.model,
        experiment.loss,
        experiment.normalization,
        [metric.function for metric in metrics if metric.is_mean],
        keeps_outputs=needed and task != SEGMENTATION,  # which counts pixels instead
        axis_name=AXIS,
        variants=variants,
        task=task,
    )

    def step(state, batch):
        with configured(config):
            return eval_step(state, batch)

    return over_devices(devices, step, BATCH)


def over_devices(devices: Devices, function, *specs: PartitionSpec, **options) -> Any:
    """A function of a state and of further arrays, jitted to run on every device.

    Args:
        devices: where it runs.
        function: its results must be the same on all of them.
        *specs: ``SAME``, ``BATCH`` or ``STACK`` for each argument after the state.
        **options: of ``jax.jit`` or ``jax.pmap``.
    """
    if devices.kind == "pmap":
        return jax.pmap(
            function,
            AXIS,
            in_axes=(None, *(len(spec) - 1 if spec else None for spec in specs)),
            out_axes=None,
            devices=list(devices.mesh.devices),
            **options,
        )
    mapped = jax.shard_map(
        function,
        mesh=devices.mesh,
        in_specs=(SAME, *specs),
        out_specs=SAME,
        check_vma=False,
    )
    return jax.jit(mapped, **options)


def make_evaluation(
    config: Config,
    experiment: Experiment,
    devices: Devices,
    *,
    keep_outputs: bool = False,
    variants: Sequence[Variant] = (),
) -> Callable[[TrainState, Split], Evaluation]:
    """The function ``(state, split) -> evaluation``, which counts each example once.

    Args:
        config: checked settings.
        experiment: what they stand for.
        devices: where it runs.
        keep_outputs: whether the outputs are wanted even if no metric needs them.
        variants: of each image, for test-time augmentation.
    """
    batch_size = evaluation_batch_size(config, experiment, devices)
    eval_step = eval_step_on_devices(
        config, experiment, devices, keep_outputs=keep_outputs, variants=variants
    )
    task = experiment.dataset.task

    def evaluation(state: TrainState, split: Split) -> Evaluation:
        return evaluate(
            eval_step,
            state,
            split,
            batch_size,
            devices,
            experiment.metrics,
            is_sigmoid=is_sigmoid(config.loss.name, task),
            task=task,
        )

    return evaluation


def evaluation_batch_size(
    config: Config, experiment: Experiment, devices: Devices
) -> int:
    """The size of evaluation's batches, a multiple of the number of devices."""
    largest = max(len(split.labels) for split in experiment.dataset[:3])
    size = min(config.eval_batch_size, largest)
    return -(-size // devices.count) * devices.count


def make_initial_state(experiment: Experiment, config: Config) -> TrainState:
    """The state before the first step, on one device.

    Raises:
        ConfigError: the network cannot take such images, or the backend cannot compute
            them.
    """
    shape = experiment.dataset.train.images.shape[1:]
    averaged = config.average_decay is not None
    model, optimizer = experiment.model, experiment.optimizer
    try:
        with configured(config):
            return make_state(model, optimizer, shape, config.seed, averaged=averaged)
    except BackendError as error:
        raise ConfigError(str(error)) from error
    except ValueError as error:
        raise ConfigError(
            f"model {config.model.name!r} cannot take images of shape {shape}: {error}"
        ) from error


def describe_state(
    experiment: Experiment, config: Config, *, training: bool = False
) -> Any:
    """The shapes of a state of the run, computed without allocating one.

    Args:
        experiment: what the settings stand for.
        config: checked settings.
        training: whether memory must suffice for training, not only for the state.

    Raises:
        ConfigError: the network cannot take such images, or there is too little memory.
    """
    shapes = jax.eval_shape(lambda: make_initial_state(experiment, config))
    images = experiment.dataset.train.images
    check_footprint(shapes, config, images, training=training)
    return shapes
