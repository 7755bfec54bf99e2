"""The devices of a run, in all its processes, and the arrays on them.

The mesh axis ``AXIS`` runs over all devices, those of process 0 first. A batch is
sharded along it; a state is replicated, or its optimizer's part is sharded, too.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from cnnjax.config import Config
from cnnjax.data import Batch, Part, Split
from cnnjax.errors import ConfigError
from cnnjax.train.machine.determinism import check_determinism
from cnnjax.train.machine.stop_request import WIDTH
from cnnjax.train.step.state import TrainState

AXIS = "devices"

SAME = PartitionSpec()
"""Of an array that every device holds whole."""
BATCH = PartitionSpec(AXIS)
"""Of an array whose first axis is divided among the devices."""
STACK = PartitionSpec(None, AXIS)
"""Of a stack of such arrays."""


class Devices(NamedTuple):
    """The devices that a run computes on.

    Attributes:
        mesh: all devices along one axis, ``AXIS``.
        kind: what compiles the steps, ``"jit"`` or ``"pmap"``.
        shards_optimizer: whether each device holds a part of the optimizer's state.
    """

    mesh: Mesh
    kind: str = "jit"
    shards_optimizer: bool = False

    @property
    def count(self) -> int:
        """The number of devices in all processes."""
        return self.mesh.size

    @property
    def platform(self) -> str:
        """``"cpu"``, ``"gpu"`` or ``"tpu"``."""
        return self.mesh.devices[0].platform

    @property
    def local_count(self) -> int:
        """The number of devices in this process."""
        return len(self.mesh.local_devices)

    @property
    def part(self) -> Part:
        """This process's share of each batch."""
        return Part(jax.process_index(), jax.process_count())

    @property
    def replicated(self) -> NamedSharding:
        """The sharding of an array that every device holds whole."""
        return NamedSharding(self.mesh, SAME)

    @property
    def sharded(self) -> NamedSharding:
        """The sharding of an array whose first axis is divided among the devices."""
        return NamedSharding(self.mesh, BATCH)

    def put_batch(self, batch: Any, spec: PartitionSpec = BATCH) -> Any:
        """Puts this process's share of a batch on its devices, a part on each.

        Args:
            batch: a tree of arrays.
            spec: ``BATCH``, or ``STACK`` for a stack of batches.
        """
        axis, sharding = len(spec) - 1, NamedSharding(self.mesh, spec)
        if self.kind == "pmap":
            parts = (self.local_count, -1)
            return jax.tree.map(
                lambda x: x.reshape(*x.shape[:axis], *parts, *x.shape[axis + 1 :]),
                batch,
            )
        if jax.process_count() == 1:  # faster than the general case
            return jax.device_put(batch, sharding)
        put = jax.make_array_from_process_local_data
        return jax.tree.map(lambda x: put(sharding, x), batch)

    def put_state(self, state: TrainState) -> TrainState:
        """Puts a state on the devices: arrays on them already, or whole on the host."""
        return jax.tree.map(_put, state, self.state_shardings(state))

    def state_shardings(self, state: TrainState) -> TrainState:
        """The sharding of each array of a state."""
        replicated = jax.tree.map(lambda _: self.replicated, state)
        if not self.shards_optimizer:
            return replicated
        sharded = jax.tree.map(self._shard, state.opt_state)
        return replicated._replace(opt_state=sharded)

    def _shard(self, leaf: Any) -> NamedSharding:
        """Shards the first axis that the number of devices divides, if there is one."""
        for axis, size in enumerate(leaf.shape):
            if size and size % self.count == 0:
                spec = PartitionSpec(*[None] * axis, AXIS)
                return NamedSharding(self.mesh, spec)
        return self.replicated

    def fetch(self, state: TrainState) -> dict[str, Any]:
        """A copy of a state, whole in each process, which no later step overwrites."""
        if jax.process_count() == 1:
            return jax.tree.map(lambda x: np.array(x), state._asdict())
        if self.shards_optimizer:
            replicated = jax.tree.map(lambda _: self.replicated, state)
            state = jax.jit(lambda x: x, out_shardings=replicated)(state)
        # Orbax takes global arrays, of which each process writes a part.
        return jax.tree.map(
            lambda x: _put(np.array(x), self.replicated), state._asdict()
        )


def put_whole(devices: Devices, array: Any) -> jax.Array:
    """An array whole on each device."""
    return _put(array, devices.replicated)


def _put(leaf: Any, sharding: NamedSharding) -> jax.Array:
    if isinstance(leaf, jax.Array) and leaf.sharding == sharding:
        return leaf
    if sharding.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    value = np.asarray(leaf)
    return jax.make_array_from_callback(value.shape, sharding, lambda at: value[at])


def make_devices(
    kind: str = "jit",
    per_process: int | None = None,
    *,
    shards_optimizer: bool = False,
) -> Devices:
    """The first devices of each process, along one axis.

    Args:
        kind: ``"jit"`` or ``"pmap"``.
        per_process: how many each process uses; ``None`` for all that it has.
        shards_optimizer: whether each device holds a part of the optimizer's state.

    Raises:
        ConfigError: more devices than a process has.
    """
    local = jax.local_device_count()
    if per_process is not None and per_process > local:
        raise ConfigError(
            f"devices is {per_process}, but a process has {local}; on a CPU, XLA_FLAGS="
            f"--xla_force_host_platform_device_count={per_process} makes as many"
        )
    chosen: list[Any] = []
    for process in range(jax.process_count()):
        own = [d for d in jax.devices() if d.process_index == process]
        chosen += own[:per_process]
    mesh = Mesh(np.array(chosen), (AXIS,), axis_types=(AxisType.Auto,))
    return Devices(mesh, kind, shards_optimizer)


def devices_of(config: Config) -> Devices:
    """The devices that a config asks for.

    Raises:
        ConfigError: more than there are, a batch that cannot be divided among them, or
            GPUs that were not started as ``deterministic`` needs.
    """
    if config.shard_optimizer and config.parallel == "pmap":
        raise ConfigError(
            "parallel is 'pmap', expected 'jit' with shard_optimizer=true; set one of"
            " the two"
        )
    if config.shard_optimizer and config.steps_per_call > 1:
        raise ConfigError(
            f"steps_per_call is {config.steps_per_call}, expected 1 with"
            " shard_optimizer=true; set one of the two"
        )
    devices = make_devices(
        config.parallel, config.devices, shards_optimizer=config.shard_optimizer
    )
    if config.deterministic:
        check_determinism(devices.platform)
    check_divides(config, devices.count)
    return devices


def check_divides(config: Config, count: int) -> None:
    """Checks that a batch can be divided among devices.

    Args:
        config: checked settings.
        count: of the devices.

    Raises:
        ConfigError: it cannot, with the nearest sizes that can.
    """
    unit = count * config.accumulate_steps
    if config.batch_size % unit:
        reason = "the number of devices"
        if config.accumulate_steps > 1:
            many = "1 device" if count == 1 else f"{count} devices"
            reason = f"{many} x {config.accumulate_steps} parts each"
        raise ConfigError(
            f"batch_size is {config.batch_size}, expected a multiple of {unit}"
            f" ({reason}); try {_nearest(config.batch_size, unit)}"
        )


def _nearest(size: int, unit: int) -> str:
    below = [size // unit * unit] if size >= unit else []
    return " or ".join(map(str, [*below, -(-size // unit) * unit]))


def describe_devices(devices: Devices) -> str:
    """Such as ``"cpu (cpu)"`` or ``"4 x gpu (NVIDIA H100), 2 processes"``."""
    device, n = devices.mesh.devices[0], devices.count
    many, processes = f"{n} x " if n > 1 else "", jax.process_count()
    end = f", {processes} processes" if processes > 1 else ""
    return f"{many}{device.platform} ({device.device_kind}){end}"


def batch_shapes(
    devices: Devices,
    split: Split,
    batch_size: int,
    *,
    longest: int = 1,
    picks: bool = False,
) -> Batch:
    """Shapes and shardings of a batch on the devices, to compile ahead of time.

    Args:
        devices: that share it.
        split: whose examples it holds.
        batch_size: over all devices.
        longest: how many batches are stacked; 1 for a single one without a stack.
        picks: whether it holds the numbers of its images instead of the images.
    """
    images, labels = split
    shape = partial(_shape, devices, batch_size, longest=longest)
    return Batch(
        shape((), np.int32) if picks else shape(images.shape[1:], images.dtype),
        shape(labels.shape[1:], labels.dtype),
        shape((), np.float32),
    )


def stop_request_shape(devices: Devices) -> jax.ShapeDtypeStruct:
    """Shape and sharding of all processes' stop requests on the devices."""
    return _shape(devices, devices.count, (WIDTH,), np.int32)


def _shape(devices, rows: int, rest, dtype, longest: int = 1) -> jax.ShapeDtypeStruct:
    front = (longest,) if longest > 1 else ()
    if devices.kind == "pmap":
        parts = (devices.local_count, rows // devices.count)
        return jax.ShapeDtypeStruct((*front, *parts, *rest), dtype)
    sharding = NamedSharding(devices.mesh, STACK if longest > 1 else BATCH)
    return jax.ShapeDtypeStruct((*front, rows, *rest), dtype, sharding=sharding)
