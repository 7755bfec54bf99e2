"""What a training step and an inference step cost on this machine."""

import itertools
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.benchmark.flops import count_forward, count_training
from cnnjax.benchmark.timer import seconds_of
from cnnjax.config import Config
from cnnjax.data import train_batches
from cnnjax.errors import ConfigError
from cnnjax.train.machine.compile import (
    describe_state,
    lower_eval_step,
    lower_step,
    make_initial_state,
)
from cnnjax.train.machine.devices import Devices, devices_of
from cnnjax.train.machine.numerics import backend_name
from cnnjax.train.run.experiment import Experiment, make_experiment
from cnnjax.train.step.state import TrainState, count_parameters

WARM_UP_STEPS = 3
BATCHES = 4
PRODUCT_SIZE = 2048
PRODUCTS = 8


class Problem(NamedTuple):
    """A run that is ready to be measured."""

    config: Config
    experiment: Experiment
    devices: Devices
    state: TrainState


def benchmark(config: Config, steps: int) -> dict[str, Any]:
    """Measures the training step and the inference step of ``config``.

    They are the programs that ``cnnjax train`` and ``cnnjax evaluate`` run, on batches
    of the config's data that are already on the devices.

    Args:
        config: checked settings.
        steps: how many of each are timed, after a few warm-up steps.

    Returns:
        Values for JSON; ``cnnjax.benchmark.table`` shows them to people.

    Raises:
        ConfigError: ``steps`` is less than 1, or settings do not fit together.
        DataError: the data cannot be read.
    """
    check_steps(steps)
    # A program from the cache would hide how long compilation takes.
    jax.config.update("jax_enable_compilation_cache", False)
    problem = make_problem(config)
    devices = problem.devices
    forward = _count(problem)
    found = describe(problem)
    # Three times, because a machine has slow moments.
    peaks = [_peak(devices)]
    # Before the training step, which reuses the memory of the state.
    inference = _measure(problem, lower_eval_step, steps, sum(forward))
    peaks.append(_peak(devices))
    training = _measure(problem, lower_step, steps, count_training(forward))
    peak = max(*peaks, _peak(devices))
    for values in (training, inference):
        values["share_of_product_peak"] = values["gflop_per_second"] / peak
    return {
        **found,
        "product_peak_gflop_per_second": peak,
        "training": training,
        "inference": inference,
        "process_peak_bytes": _process_peak_bytes(),
    }


def check_steps(steps: int) -> None:
    """Refuses fewer than one step.

    Raises:
        ConfigError: ``steps`` is less than 1.
    """
    if steps < 1:
        raise ConfigError(f"steps is {steps}, expected 1 or more")


def make_problem(config: Config) -> Problem:
    """The run that ``config`` describes, with its initial state on the devices.

    Raises:
        ConfigError: settings do not fit together, or memory is too small.
        DataError: the data cannot be read.
    """
    devices, experiment = devices_of(config), make_experiment(config)
    describe_state(experiment, config, training=True)  # refuses what memory cannot hold
    state = devices.put_state(make_initial_state(experiment, config))
    return Problem(config, experiment, devices, state)


def _count(problem: Problem) -> list[int]:
    shape = problem.experiment.dataset.train.images.shape[1:]
    images = jax.ShapeDtypeStruct((problem.config.batch_size, *shape), jnp.float32)
    return count_forward(problem.experiment.model, problem.state.variables, images)


def describe(problem: Problem) -> dict[str, Any]:
    """The network, its data and the machine, as values for JSON."""
    config, device = problem.config, problem.devices.mesh.devices[0]
    return {
        "model": config.model.name,
        "data": config.data.source,
        "image_shape": list(problem.experiment.dataset.train.images.shape[1:]),
        "batch_size": config.batch_size,
        "parameters": count_parameters(problem.state.params),
        "device": f"{device.platform} ({device.device_kind})",
        "devices": problem.devices.count,
        "cores": len(os.sched_getaffinity(0)),
        "backend": backend_name(config),
        "gradients": config.gradients,
        "jax": jax.__version__,
    }


def _measure(problem: Problem, lower: Callable, steps: int, operations: int) -> dict:
    """Compiles a step, takes it many times, and reports its cost."""
    begin = time.perf_counter()
    compiled = lower(*problem).compile()
    compile_seconds = time.perf_counter() - begin
    take = _taker(problem, compiled, trains=lower is lower_step)
    seconds = [take() for _ in range(WARM_UP_STEPS + steps)][WARM_UP_STEPS:]
    low, median, high = np.percentile(seconds, (25, 50, 75)).tolist()
    return {
        "compile_seconds": compile_seconds,
        "steps": steps,
        "step_seconds": median,
        "step_seconds_min": min(seconds),
        "step_seconds_quartiles": [low, high],
        "images_per_second": problem.config.batch_size / median,
        "gflop": operations / 1e9,
        "gflop_per_second": operations / 1e9 / median,
        "memory_bytes": _memory_bytes(compiled),
    }


def _taker(problem: Problem, compiled: Any, trains: bool) -> Callable[[], float]:
    """A function that takes one step and returns its seconds."""
    batches, state = _placed_batches(problem), problem.state

    def take() -> float:
        nonlocal state
        batch = next(batches)
        begin = time.perf_counter()
        result = jax.block_until_ready(compiled(state, batch))
        seconds = time.perf_counter() - begin
        state = result[0] if trains else state
        return seconds

    return take


def _placed_batches(problem: Problem) -> Iterator[Any]:
    split, config = problem.experiment.dataset.train, problem.config
    few = itertools.islice(
        train_batches(split, config.batch_size, config.seed), BATCHES
    )
    place = problem.devices.put_batch
    return itertools.cycle([jax.block_until_ready(place(batch)) for batch in few])


def _memory_bytes(compiled: Any) -> int | None:
    """Memory of the program on a device: arguments, results and temporaries."""
    found = compiled.memory_analysis()
    if found is None:
        return None
    return (
        found.argument_size_in_bytes
        + found.output_size_in_bytes
        - found.alias_size_in_bytes
        + found.temp_size_in_bytes
    )


def _peak(devices: Devices) -> float:
    """GFLOP/s of a large matrix product in float32, the best of several.

    On a CPU, all devices share the cores; other devices have one peak each.
    """
    n = PRODUCT_SIZE
    a, b = jnp.ones((2, n, n))
    product = jax.jit(partial(jnp.matmul, precision="float32")).lower(a, b).compile()
    seconds = [seconds_of(product, a, b) for _ in range(PRODUCTS)]
    platform = devices.mesh.devices[0].platform
    return 2 * n**3 / min(seconds) / 1e9 * (1 if platform == "cpu" else devices.count)


def _process_peak_bytes() -> int:
    """The peak memory of this process."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024
