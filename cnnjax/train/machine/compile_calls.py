"""Several steps of a run in one compiled loop, on batches or on numbers of images.

The loop takes the same steps as ``compile.py``, bit for bit. How many it takes is an
argument, so calls of all lengths are one program.
"""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnjax.config import Config
from cnnjax.data import Batch
from cnnjax.data.picks import take
from cnnjax.errors import ConfigError
from cnnjax.train.machine.compile import compile_step, over_devices, sum_requests
from cnnjax.train.machine.devices import (
    BATCH,
    SAME,
    STACK,
    Devices,
    batch_shapes,
    stop_request_shape,
)
from cnnjax.train.machine.numerics import configured
from cnnjax.train.machine.stop_request import WIDTH, StopRequest, encode
from cnnjax.train.run.experiment import Experiment
from cnnjax.train.run.training_step import make_train_step
from cnnjax.train.step.loss import TrainMetrics
from cnnjax.train.step.state import TrainState

Call = Callable[[TrainState, Batch, StopRequest], tuple[TrainState, TrainMetrics, Any]]

CANONICAL = re.compile(r"b(\d*)f_\1io->b\1f")
"""The order of axes for which XLA computes a convolution well on a CPU."""


def compile_calls(
    config: Config,
    experiment: Experiment,
    devices: Devices,
    state: TrainState,
    stage: int = 0,
    *,
    longest: int = 1,
    images: jax.Array | None = None,
) -> Call:
    """The compiled call, ``(state, batches, request) -> (state, metrics, total)``.

    It takes this process's share of a stack of at most ``longest`` batches; its metrics
    have one entry per batch, and what is behind those is meaningless. With one step
    per call, it takes a single batch. The total is that of ``compile_step``.

    Args:
        config: checked settings.
        experiment: what they stand for.
        devices: where the steps run.
        state: on the devices.
        stage: of unfreezing.
        longest: the most steps of a call.
        images: of the training split, on the devices, if batches hold their numbers.

    Raises:
        ConfigError: convolutions to which XLA gives other numbers in a loop.
    """
    if longest == 1 and images is None:
        return compile_step(config, experiment, devices, state, stage)
    several = jax.process_count() > 1
    spec = STACK if longest > 1 else BATCH
    if several and devices.kind == "pmap":  # see compile_step
        compiled: Any = calls_on_devices(config, experiment, devices, longest, stage)
    else:
        lowered = lower_calls(
            *(config, experiment, devices, state, stage), longest=longest, images=images
        )
        compiled = lowered.compile()
        if devices.platform == "cpu" and longest > 1:
            check_convolutions(config, compiled.as_text())
    no_requests = np.zeros((devices.local_count - 1, WIDTH), np.int32)

    def call(state: TrainState, batches: Batch, request: StopRequest):
        count = np.int32(len(batches.labels))
        if longest > 1:
            batches = jax.tree.map(lambda x: _fill(x, longest), batches)
        put = devices.put_batch(batches, spec)
        if not several:
            return *compiled(state, images, count, put), None
        requests = np.concatenate([encode(request)[None], no_requests])
        return compiled(state, images, count, put, devices.put_batch(requests))

    return call


def lower_calls(
    config: Config,
    experiment: Experiment,
    devices: Devices,
    state: TrainState,
    stage: int = 0,
    *,
    longest: int,
    images: Any,
) -> jax.stages.Lowered:
    """The call that ``compile_calls`` compiles, lowered for the devices.

    Args: as for ``compile_calls``; of ``state`` and ``images``, shapes will do.
    """
    shapes: list[Any] = [
        batch_shapes(
            *(devices, experiment.dataset.train, config.batch_size),
            longest=longest,
            picks=images is not None,
        )
    ]
    if jax.process_count() > 1:
        shapes.append(stop_request_shape(devices))
    call = calls_on_devices(config, experiment, devices, longest, stage)
    count = jax.ShapeDtypeStruct((), np.int32)
    return call.lower(state, images, count, *shapes)


def calls_on_devices(
    config: Config, experiment: Experiment, devices: Devices, longest: int, stage: int
) -> Any:
    """The call as a jitted function of arrays on the devices.

    It is ``(state, images, count, batches) -> (state, metrics)``. With several
    processes it also takes their encoded stop requests, and also returns the sum of
    these.

    Args:
        config: checked settings.
        experiment: what they stand for.
        devices: where it runs.
        longest: the most steps of a call; 1 takes a single batch without a loop.
        stage: of unfreezing.
    """
    train_step = make_train_step(config, experiment, stage)

    def step(state, images, batch):
        if images is not None:
            found = take(images, batch.images, alternates=experiment.alternates)
            batch = batch._replace(images=found)
        with configured(config):
            found = train_step.gradients(state, batch)
        return train_step.update(state, found)

    def call(state, images, count, batches, *requests):
        total = map(sum_requests, requests)
        if longest == 1:
            return *step(state, images, batches), *total

        def take_step(number, so_far):
            state, metrics = so_far
            batch = jax.tree.map(lambda x: x[number], batches)
            state, found = step(state, images, batch)
            metrics = jax.tree.map(lambda all, x: all.at[number].set(x), metrics, found)
            return state, metrics

        one = jax.tree.map(lambda x: x[0], batches)
        _, shapes = jax.eval_shape(step, state, images, one)
        metrics = jax.tree.map(lambda x: jnp.zeros((longest,), x.dtype), shapes)
        return *lax.fori_loop(0, count, take_step, (state, metrics)), *total

    several = jax.process_count() > 1
    specs = [SAME, SAME, STACK if longest > 1 else BATCH, *[BATCH] * several]
    return over_devices(devices, call, *specs, donate_argnums=0)


def _fill(stack: np.ndarray, longest: int) -> np.ndarray:
    """A stack of ``longest`` batches, of which the last may hold nothing."""
    after = (0, longest - len(stack))
    return np.pad(stack, [after, *[(0, 0)] * (stack.ndim - 1)]) if any(after) else stack


def check_convolutions(config: Config, program: str) -> None:
    """Refuses convolutions that XLA computes otherwise in a loop than outside.

    On a CPU, it brings their axes into its own order only outside of loops. Within one,
    another order is slow, and its sums have other last digits.

    Args:
        config: checked settings.
        program: compiled, as text.

    Raises:
        ConfigError: there is such a convolution.
    """
    orders = set(re.findall(r" convolution\(.*dim_labels=([^,\s]+)", program))
    if all(CANONICAL.fullmatch(order) for order in orders):
        return
    raise ConfigError(
        f"steps_per_call is {config.steps_per_call}, expected 1: on a CPU, XLA compiles"
        " this network's convolutions differently inside a loop, where they are slow"
        " and differ in the last digits; cnnjax's CPU kernels (backend='auto' with"
        " gradients='custom', and layers of cnnjax) have no such limit"
    )
