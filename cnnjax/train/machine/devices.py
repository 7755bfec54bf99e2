"""The devices of a run, of all its processes, and what lies on them.

The axis ``AXIS`` runs over all devices, those of process 0 first. A batch is divided
along it; a state lies whole on each device, or its optimizer's part is divided, too.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from cnnjax.config import Config
from cnnjax.data import Batch, Part, Split
from cnnjax.errors import ConfigError
from cnnjax.train.machine.stop_request import WIDTH
from cnnjax.train.step.state import TrainState

AXIS = "devices"


class Devices(NamedTuple):
    """Where a run computes.

    Attributes:
        mesh: all devices in a row, called ``AXIS``.
        kind: ``"jit"`` or ``"pmap"``, what compiles the steps.
        shards_optimizer: whether each device holds a part of the optimizer's state.
    """

    mesh: Mesh
    kind: str = "jit"
    shards_optimizer: bool = False

    @property
    def count(self) -> int:
        """How many devices there are, in all processes."""
        return self.mesh.size

    @property
    def platform(self) -> str:
        """What kind they are: ``"cpu"``, ``"gpu"`` or ``"tpu"``."""
        return self.mesh.devices[0].platform

    @property
    def local_count(self) -> int:
        """How many devices this process has."""
        return len(self.mesh.local_devices)

    @property
    def part(self) -> Part:
        """This process's share of each batch."""
        return Part(jax.process_index(), jax.process_count())

    @property
    def replicated(self) -> NamedSharding:
        """Where an array lies that every device holds as a whole."""
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def divided(self) -> NamedSharding:
        """Where an array lies whose first axis is divided among the devices."""
        return NamedSharding(self.mesh, PartitionSpec(AXIS))

    def put_batch(self, batch: Any) -> Any:
        """Arrays of this process's share of a batch, divided among its devices."""
        if self.kind == "pmap":
            n = self.local_count
            return jax.tree.map(lambda x: x.reshape(n, -1, *x.shape[1:]), batch)
        if jax.process_count() == 1:  # faster than what many need
            return jax.device_put(batch, self.divided)
        place = jax.make_array_from_process_local_data
        return jax.tree.map(lambda x: place(self.divided, x), batch)

    def put_state(self, state: TrainState) -> TrainState:
        """A state laid on the devices, of arrays there or whole in each process."""
        return jax.tree.map(_place, state, self.state_shardings(state))

    def state_shardings(self, state: TrainState) -> TrainState:
        """Where each array of a state lies."""
        everywhere = jax.tree.map(lambda _: self.replicated, state)
        if not self.shards_optimizer:
            return everywhere
        divided = jax.tree.map(self._divide, state.opt_state)
        return everywhere._replace(opt_state=divided)

    def _divide(self, leaf: Any) -> NamedSharding:
        """Divides the first axis that can be divided among the devices, if any."""
        for axis, size in enumerate(leaf.shape):
            if size and size % self.count == 0:
                spec = PartitionSpec(*[None] * axis, AXIS)
                return NamedSharding(self.mesh, spec)
        return self.replicated

    def fetch(self, state: TrainState) -> dict[str, Any]:
        """A copy of a state that no step overwrites, whole in each process."""
        if jax.process_count() == 1:
            return jax.tree.map(lambda x: np.array(x), state._asdict())
        if self.shards_optimizer:
            everywhere = jax.tree.map(lambda _: self.replicated, state)
            state = jax.jit(lambda x: x, out_shardings=everywhere)(state)
        # Orbax takes arrays of all processes, of which each writes a part.
        return jax.tree.map(
            lambda x: _place(np.array(x), self.replicated), state._asdict()
        )


def _place(leaf: Any, sharding: NamedSharding) -> jax.Array:
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
    """The first devices of each process in a row.

    Args:
        kind: ``"jit"`` or ``"pmap"``.
        per_process: how many each process uses; ``None`` for all that it has.
        shards_optimizer: whether each holds a part of the optimizer's state.

    Raises:
        ConfigError: more than there are.
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
        ConfigError: too many, or a batch that cannot be divided among them.
    """
    if config.shard_optimizer and config.parallel == "pmap":
        raise ConfigError(
            "shard_optimizer goes with parallel='jit', and parallel is 'pmap'"
        )
    devices = make_devices(
        config.parallel, config.devices, shards_optimizer=config.shard_optimizer
    )
    unit = devices.count * config.accumulate_steps
    if config.batch_size % unit:
        raise ConfigError(
            f"batch_size is {config.batch_size}, which cannot be divided among"
            f" {devices.count} devices in {config.accumulate_steps} parts each; nearest"
            f" are {_nearest(config.batch_size, unit)}"
        )
    return devices


def _nearest(size: int, unit: int) -> str:
    below = [size // unit * unit] if size >= unit else []
    return " and ".join(map(str, [*below, -(-size // unit) * unit]))


def describe_devices(devices: Devices) -> str:
    """As ``"cpu (cpu)"``, or ``"4 x gpu (NVIDIA H100), 2 processes"``."""
    device, n = devices.mesh.devices[0], devices.count
    many, processes = f"{n} x " if n > 1 else "", jax.process_count()
    end = f", {processes} processes" if processes > 1 else ""
    return f"{many}{device.platform} ({device.device_kind}){end}"


def batch_shapes(devices: Devices, split: Split, batch_size: int) -> Batch:
    """What a placed batch looks like, for compiling ahead."""
    images, labels = split
    shape = partial(_shape, devices, batch_size)
    return Batch(
        shape(images.shape[1:], images.dtype),
        shape((), labels.dtype),
        shape((), np.float32),
    )


def stop_request_shape(devices: Devices) -> jax.ShapeDtypeStruct:
    """What the placed wishes of all processes look like."""
    return _shape(devices, devices.count, (WIDTH,), np.int32)


def _shape(devices, rows: int, rest, dtype) -> jax.ShapeDtypeStruct:
    if devices.kind == "pmap":
        head = (devices.local_count, rows // devices.count)
        return jax.ShapeDtypeStruct((*head, *rest), dtype)
    return jax.ShapeDtypeStruct((rows, *rest), dtype, sharding=devices.divided)
