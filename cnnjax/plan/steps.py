"""The training step and the evaluation step of a run, compiled for a target."""

import os
import re
import time
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from cnnjax import progress
from cnnjax.config import Config
from cnnjax.data import Dataset, Normalization, Split
from cnnjax.data.tasks import MULTILABEL, REGRESSION, SEGMENTATION
from cnnjax.errors import ConfigError
from cnnjax.plan.targets import (
    Target,
    compiler_problem,
    find_devices,
    gpu_memory_share,
)
from cnnjax.train.machine.compile import (
    eval_step_on_devices,
    evaluation_batch_size,
    lower_step,
    make_initial_state,
)
from cnnjax.train.machine.compile_calls import check_convolutions, lower_calls
from cnnjax.train.machine.device_images import stay
from cnnjax.train.machine.devices import AXIS, Devices, batch_shapes, check_divides
from cnnjax.train.machine.footprint import size_text
from cnnjax.train.machine.memory_limit import memory_limit
from cnnjax.train.run.calls import make_calls
from cnnjax.train.run.experiment import (
    ALL_FROM_CONFIG,
    Experiment,
    Parts,
    make_experiment,
)
from cnnjax.train.run.segmentation import PER_PIXEL
from cnnjax.train.step.loss import tasks_of
from cnnjax.train.step.state import TrainState

EXAMPLES = 10_000_000
"""Examples of data that are only described; they decide on nothing but lengths."""

ADVICE = {
    True: "reduce batch_size, raise accumulate_steps, or set model.remat=true where the"
    " network has it",
    False: "reduce eval_batch_size",
}
"""What makes the training step (``True``) or evaluation smaller."""

QUICK = {"exec_time_optimization_effort": -1.0}
"""What makes a TPU's compiler search less."""

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class Run(NamedTuple):
    """A run on devices that may not be there.

    Attributes:
        config: checked settings.
        target: the devices in words.
        devices: the same, for the compiler.
        experiment: what the settings stand for.
        state: the shapes of the state, placed on the devices.
        images: the shape of the training images that stay on the devices, if they do.
        quick: whether a TPU's compiler searches less for fast kernels.
    """

    config: Config
    target: Target
    devices: Devices
    experiment: Experiment
    state: TrainState
    images: jax.ShapeDtypeStruct | None = None
    quick: bool = False

    @property
    def longest(self) -> int:
        """The most steps of a call of the compiled program."""
        return make_calls(self.config, self.experiment.lengths).longest


class Step(NamedTuple):
    """A step of a run, compiled.

    Attributes:
        compiled: as JAX gives it.
        batch_size: in examples, on all devices.
        seconds: that compilation took.
    """

    compiled: Any
    batch_size: int
    seconds: float


class TooLarge(ConfigError):
    """A program that does not fit the memory of a device.

    Attributes:
        needed: bytes, as the compiler counts them.
    """

    def __init__(self, message: str, needed: int):
        super().__init__(message)
        self.needed = needed


def describe_data(config: Config, shape: tuple[int, ...], classes: int) -> Parts:
    """A data set of which only shapes are known, for ``make_run``.

    Args:
        config: whose loss and network say what its labels are.
        shape: ``(*spatial, channels)`` of one image of uint8.
        classes: or outputs, for regression.
    """
    images = np.broadcast_to(np.uint8(0), (EXAMPLES, *shape))
    labels: np.ndarray = np.broadcast_to(np.int32(classes - 1), EXAMPLES)
    task = tasks_of(config.loss.name)[0]
    if config.model.name in PER_PIXEL:
        task = SEGMENTATION
        labels = np.broadcast_to(np.uint8(0), (EXAMPLES, *shape[:-1]))
    elif task == MULTILABEL:
        labels = np.broadcast_to(np.int8(1), (EXAMPLES, classes))
    elif task == REGRESSION:
        labels = np.broadcast_to(np.float32(0), (EXAMPLES, classes))
    split = Split(images, labels)
    return Parts(Dataset(split, split, split, classes, task=task))


def is_described(dataset: Dataset) -> bool:
    """Whether a data set is from ``describe_data``: its length means nothing."""
    images = dataset.train.images
    return isinstance(images, np.ndarray) and images.strides[0] == 0


def make_run(
    config: Config,
    target: Target,
    parts: Parts = ALL_FROM_CONFIG,
    *,
    exact: bool = False,
) -> Run:
    """The run that a config describes, on the devices of a target.

    Args:
        config: checked settings.
        target: whose environment is prepared.
        parts: from ``describe_data``, where the data are not at hand.
        exact: whether a TPU's compiler searches for fast kernels as long as for a run.

    Raises:
        ConfigError: settings do not fit together, or do not fit the target.
        DataError: the data cannot be read.
    """
    if config.parallel == "pmap":
        raise ConfigError(
            "parallel is 'pmap', expected 'jit', the only one that can be compiled for"
            " devices that are not present"
        )
    if config.backend == "native" and target.chip.platform != "cpu":
        raise ConfigError(
            f"backend is 'native', which runs on CPUs only, but --for is"
            f" {target.name}; try 'auto'"
        )
    if config.devices is not None:
        raise ConfigError(
            f"devices is {config.devices}, expected none, because --for={target.name}"
            " names the devices; leave it out"
        )
    found = find_devices(target)
    check_divides(config, len(found))
    mesh = Mesh(np.array(found), (AXIS,), axis_types=(AxisType.Auto,))
    devices = Devices(mesh, shards_optimizer=config.shard_optimizer)
    normalization = None
    if parts.dataset is not None:
        channels = parts.dataset.train.images.shape[-1]
        zeros = np.zeros(channels, np.float32)
        normalization = Normalization(zeros, zeros + 1)
    experiment = make_experiment(config, normalization, parts=parts)
    shapes = jax.eval_shape(lambda: make_initial_state(experiment, config))
    state = jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
        shapes,
        devices.state_shardings(shapes),
    )
    quick = target.chip.platform == "tpu" and not exact
    images = _images_on_devices(config, target, devices, experiment.dataset)
    return Run(config, target, devices, experiment, state, images, quick)


def _images_on_devices(config, target, devices, dataset):
    images, described = dataset.train.images, is_described(dataset)
    if described and config.data.on_device == "always":
        raise ConfigError(
            "data.on_device is 'always', expected 'auto' or 'never' with --image-size,"
            " because the number of images is not known"
        )
    limit = usable_memory(target) if target.chip.platform != "cpu" else 0
    if described or not stay(config, images, limit or 0):
        return None
    return jax.ShapeDtypeStruct(images.shape, images.dtype, sharding=devices.replicated)


def compile_training(run: Run) -> Step:
    """The training step of a run; a loop of steps with ``steps_per_call``.

    Raises:
        TooLarge: the compiler finds that it needs more memory than there is.
        ConfigError: the compiler fails.
    """
    config, longest = run.config, run.longest
    parts = config, run.experiment, run.devices, run.state
    with progress.elapsing("compiling the training step"):
        if longest == 1 and run.images is None:
            lowered = lower_step(*parts)
        else:
            lowered = lower_calls(*parts, longest=longest, images=run.images)
        step = _compile(run, lowered, config.batch_size, training=True)
    if run.target.chip.platform == "cpu" and longest > 1:
        check_convolutions(config, step.compiled.as_text())
    return step


def compile_evaluation(run: Run) -> Step:
    """The evaluation step of a run, on evaluation's batches.

    Raises:
        TooLarge: the compiler finds that it needs more memory than there is.
        ConfigError: the compiler fails.
    """
    config, devices, experiment = run.config, run.devices, run.experiment
    size = evaluation_batch_size(config, experiment, devices)
    with progress.elapsing("compiling the evaluation step"):
        batch = batch_shapes(devices, experiment.dataset.train, size)
        step = eval_step_on_devices(config, experiment, devices)
        lowered = step.lower(run.state, batch)
        return _compile(run, lowered, size, training=False)


def _compile(
    run: Run, lowered: jax.stages.Lowered, batch_size: int, *, training: bool
) -> Step:
    begin = time.perf_counter()
    options: Any = QUICK if run.quick else None  # a number, though JAX declares text
    try:
        compiled = lowered.compile(options)
    except jax.errors.JaxRuntimeError as error:
        needed = needed_bytes(str(error))
        if needed is None:
            raise ConfigError(compiler_problem(run.target, str(error))) from error
        raise too_large(run.target, needed, ADVICE[training]) from error
    return Step(compiled, batch_size, time.perf_counter() - begin)


def too_large(target: Target, needed: int, advice: str) -> TooLarge:
    """The error for a program that needs more memory than a device has.

    Args:
        target: with known memory.
        needed: bytes.
        advice: what would help.
    """
    limit = usable_memory(target) or 0
    return TooLarge(
        f"the program needs {size_text(needed)} of memory on each device, but"
        f" {target.name} has {size_text(limit)}: {size_text(needed - limit)} too much;"
        f" {advice}",
        needed,
    )


def usable_memory(target: Target) -> int | None:
    """The bytes of a device that a program can have; ``None`` if unknown.

    JAX takes a share of a GPU's memory when it starts, and no more later. All devices
    of a CPU share the memory that this process may have.
    """
    chip = target.chip
    if chip.platform == "cpu":
        return memory_limit() // target.shape[0]
    if chip.platform == "cuda" and chip.memory_bytes:
        return int(chip.memory_bytes * gpu_memory_share(os.environ))
    return chip.memory_bytes


def needed_bytes(message: str) -> int | None:
    """The memory that a compiler says it would need; ``None`` for another error."""
    if "RESOURCE_EXHAUSTED" not in message:
        return None
    number = r"([\d.]+)([KMGT])"
    for form in (rf"Used {number} of", rf"\({number}\) exceeds"):
        if found := re.search(form, message):
            return int(float(found[1]) * _UNITS[found[2]])
    return None
