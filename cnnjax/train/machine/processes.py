"""A run of several processes: how they connect, and how they agree.

They communicate through JAX's own distributed runtime. Each has its own devices, and
all take the same steps at the same time. Process 0 writes the logs.
"""

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax._src.clusters import ClusterEnv  # no public way to find a launcher
from jax._src.distributed import global_state  # its client has no public name
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cnnjax.errors import ConfigError
from cnnjax.train.machine import rendezvous, shutdown
from cnnjax.train.machine.launch import Launch, check_launch
from cnnjax.train.machine.platform import check_platform

HEARTBEAT_SECONDS = 30  # after which a silent process counts as dead
CONNECT_SECONDS = 120
_GIVE = "give --coordinator=host:port --num_processes=N --process_id=I to each"


def join(launch: Launch) -> None:
    """Connects this process to the others; call it before anything uses a device.

    Raises:
        ConfigError: a process did not connect, or JAX cannot start.
    """
    if launch.num_processes == 1:
        check_platform()
        return
    launch = _locate(launch)
    # The watch reports a lost process in words; JAX would abort.
    jax.config.update("jax_enable_recoverability", True)
    with _meet_all(launch, CONNECT_SECONDS).watched(_miss):
        try:
            jax.distributed.initialize(
                launch.coordinator,
                launch.num_processes,
                launch.process_id,
                _local_devices(launch),
                cluster_detection_method="deactivate",
                initialization_timeout=CONNECT_SECONDS,
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            )
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f"JAX cannot connect the processes of the run ({error}); {_GIVE}"
            ) from error
    threading.Thread(target=shutdown.watch, daemon=True).start()
    with shutdown.leave_on_failure():
        check_platform()
        _check_devices()
        _connect_devices()


def refuse(launch: Launch, reason: str) -> None:
    """Tells the others that this process cannot take part, so that none waits for it.

    Args:
        launch: of this process.
        reason: for people.
    """
    if launch.num_processes != 1:
        with contextlib.suppress(ConfigError):
            _meet_all(_locate(launch), rendezvous.REST_SECONDS, reason)


def _meet_all(
    launch: Launch, seconds: float, refusal: str | None = None
) -> rendezvous.Link:
    coordinator, count, number, _ = launch
    assert coordinator is not None and count is not None and number is not None
    return rendezvous.meet(coordinator, count, number, seconds, refusal)


def _locate(launch: Launch) -> Launch:
    """The launch, completed from the launcher's environment.

    Raises:
        ConfigError: the launcher's variables are missing or invalid.
    """
    if launch.launcher is None:
        return launch
    try:
        found = ClusterEnv.auto_detect_unset_distributed_params(
            None, None, None, None, launch.launcher, CONNECT_SECONDS
        )
        coordinator, count, number = found[:3]
        if None in (coordinator, count, number):
            raise ValueError("some of its variables are missing")
        located = Launch(coordinator, count, number, launch.launcher)
        check_launch(located)
    except (RuntimeError, ValueError, KeyError) as error:
        raise ConfigError(
            f"{launch.launcher} does not say which process this is ({error}); {_GIVE}"
        ) from error
    return located


def _local_devices(launch: Launch) -> list[int] | None:
    """The GPU of a launcher's task; ``None``, which is all of them, with flags."""
    if launch.launcher is None:
        return None
    own = ClusterEnv.auto_detect_unset_distributed_params(
        None, None, None, None, launch.launcher, CONNECT_SECONDS
    )[3]
    return None if own is None else list(own)


def _miss(number: int) -> None:
    """Ends this process because another one ended before JAX connected it."""
    shutdown.say(f"process {number} ended before the run began; see its output")
    os._exit(shutdown.FAILED)


def _check_devices() -> None:
    """Checks that all processes have the same number of devices.

    Raises:
        ConfigError: they do not, with the numbers.
    """
    counts = Counter(device.process_index for device in jax.devices())
    if len({*counts.values()}) > 1:
        told = ", ".join(f"process {i} has {n}" for i, n in sorted(counts.items()))
        raise ConfigError(
            f"all processes need the same number of devices, but {told}; start all with"
            " the same XLA_FLAGS, JAX_NUM_CPU_DEVICES and CUDA_VISIBLE_DEVICES"
        )


def _connect_devices() -> None:
    """Connects the first devices of all processes, then the second ones, and so on.

    JAX's barrier needs all these groups. On CPUs, XLA would connect them at once and in
    any order, and processes that start with different groups would wait forever.
    """
    rows = np.array(jax.devices()).reshape(jax.process_count(), -1)
    for group in rows.T:
        mesh = Mesh(group, ("processes",))
        sharding = NamedSharding(mesh, PartitionSpec("processes"))
        x = jax.make_array_from_callback(
            rows.shape[:1], sharding, lambda at: np.zeros(1)
        )
        total = jax.jit(jnp.sum, out_shardings=NamedSharding(mesh, PartitionSpec()))
        total(x).block_until_ready()


def is_first() -> bool:
    """Whether this process writes the logs."""
    return global_state.process_id == 0


def are_many() -> bool:
    """Whether the run has more than one process."""
    return global_state.num_processes > 1


def agree(holds: bool) -> bool:
    """Whether something holds in every process; all of them must call this."""
    if not are_many():
        return holds
    return bool(multihost_utils.process_allgather(np.array(holds)).all())


def from_first(values: Sequence[float]) -> list[float]:
    """The numbers that process 0 has, bit for bit; all of them must call this.

    Args:
        values: as many in each process.
    """
    if not are_many():
        return list(values)
    bits = np.array(values, np.float64).view(np.uint32)  # JAX would round float64
    return multihost_utils.process_allgather(bits)[0].view(np.float64).tolist()


def wait_for_all(name: str) -> None:
    """Waits until every process has called this.

    Args:
        name: of the barrier, the same in all processes.
    """
    if are_many():
        multihost_utils.sync_global_devices(name)
