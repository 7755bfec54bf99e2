"""Many processes as one run: how they find each other, and how they agree.

They talk through JAX's own distributed runtime. Each has its own devices; all take the
same steps at the same time. Process 0 writes the logs.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax._src.distributed import global_state
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cnnjax.config import ConfigError
from cnnjax.printable import printable

HEARTBEAT_SECONDS = 30  # after which a silent process counts as dead
CONNECT_SECONDS = 120
WATCH_SECONDS = 5
PARTING_SECONDS = 1  # from the word of a process that it leaves to its end
_LEFT = "cnnjax/left"  # where a process that ends leaves word
FAILED, USAGE = 1, 2  # exit status

_AGAIN = (
    "start all processes again with the same command, and they go on from the last"
    " checkpoint"
)
_over = threading.Event()


class Place(NamedTuple):
    """Where a process stands among all; ``None`` is for JAX to find out.

    Attributes:
        coordinator: ``host:port`` of process 0.
        num_processes: how many there are.
        process_id: which one this is, from 0.
        launcher: ``"slurm"`` or ``"ompi"``, whose environment says the rest.
    """

    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None
    launcher: str | None = None


def find_place(flags: Place, environment: Mapping[str, str] = os.environ) -> Place:
    """The place of this process, from flags or from its launcher.

    Args:
        flags: what was given on the command line.
        environment: variables that Slurm or Open MPI set.

    Raises:
        ConfigError: flags that are not complete or out of range.
    """
    if any(value is not None for value in flags[:3]):
        return _check(flags, *flags[:3])
    if int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        return Place(launcher="slurm")
    if int(environment.get("OMPI_COMM_WORLD_SIZE", 1)) > 1:
        return Place(launcher="ompi")
    return Place(num_processes=1, process_id=0)


def _check(
    place: Place, coordinator: str | None, count: int | None, number: int | None
) -> Place:
    if coordinator is None or count is None or number is None:
        raise ConfigError(
            "--coordinator, --num_processes and --process_id go together, as in"
            " --coordinator=localhost:4711 --num_processes=2 --process_id=0; got"
            f" {coordinator}, {count} and {number}"
        )
    if count < 1 or not 0 <= number < count:
        raise ConfigError(
            f"--process_id is {number} of --num_processes={count}, expected 0 to"
            f" {count - 1}"
        )
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"--coordinator is {coordinator!r}, expected host:port")
    return place


def join(place: Place) -> None:
    """Connects this process with the others; before anything else asks for a device.

    Raises:
        ConfigError: they were not found.
    """
    if place.num_processes == 1:
        return
    # A lost process is told by the watch, in words, and not by an abort within JAX.
    jax.config.update("jax_enable_recoverability", True)
    try:
        jax.distributed.initialize(
            place.coordinator,
            place.num_processes,
            place.process_id,
            # With flags, JAX would still take the GPU of a Slurm task's number.
            cluster_detection_method=place.launcher or "deactivate",
            initialization_timeout=CONNECT_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
        threading.Thread(target=_watch, daemon=True).start()
    except (RuntimeError, ValueError, KeyError) as error:
        raise ConfigError(
            f"the processes of the run did not find each other ({error}); give"
            " --coordinator=host:port --num_processes=N --process_id=I to each"
        ) from error
    _meet()


def _meet() -> None:
    """Connects the first devices of all processes, then the second ones, and so on.

    JAX's barrier needs all these groups. On CPUs, XLA would connect them at once and in
    any order, and processes that begin with different ones wait for ever.
    """
    rows = np.array(jax.devices()).reshape(jax.process_count(), -1)
    for group in rows.T:
        mesh = Mesh(group, ("processes",))
        place = NamedSharding(mesh, PartitionSpec("processes"))
        x = jax.make_array_from_callback(rows.shape[:1], place, lambda at: np.zeros(1))
        total = jax.jit(jnp.sum, out_shardings=NamedSharding(mesh, PartitionSpec()))
        total(x).block_until_ready()


@contextlib.contextmanager
def leave_together() -> Iterator[None]:
    """Ends this process together with the others, or at once where it fails.

    A failed process that waited for the others, as JAX does at an exit, would keep them
    waiting for itself.
    """
    if jax.process_count() == 1:
        yield
        return
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).partition("\n")[0][:200]
        _leave(f"another process has ended or cannot be reached ({reason}); {_AGAIN}")
    except Exception as error:
        _leave(str(error), USAGE if isinstance(error, ValueError) else FAILED)
    _say_farewell()


def _say_farewell() -> None:
    """Disconnects; process 0, whom the others need for that, goes last."""
    _over.set()
    wait_for_all("end")
    _let_others_go_first()
    jax.distributed.shutdown()


def _watch() -> None:
    """Ends this process when another one has ended without a farewell.

    A step would wait for it for ever, deep within a library.
    """
    client: Any = global_state.client
    everybody = list(range(jax.process_count()))
    while not _over.wait(WATCH_SECONDS):
        try:
            left = [
                int(key[len(_LEFT) + 1 :]) for key, _ in client.key_value_dir_get(_LEFT)
            ]
            lost = left or sorted({*everybody} - {*client.get_live_nodes(everybody)})
        except Exception:  # process 0, who would know, does not answer
            lost = [0]
        if lost and not _over.is_set():
            _leave(f"process {lost[0]} has ended or cannot be reached; {_AGAIN}")


def _leave(reason: str, status: int = FAILED) -> None:
    _over.set()
    where = f"cnnjax: process {jax.process_index()}"
    print(f"{where}: error: {printable(reason)}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.suppress(Exception):
        _let_others_go_first()
    os._exit(status)


def _let_others_go_first() -> None:
    """Keeps process 0 until the others leave, too: JAX aborts them where it is gone."""
    client: Any = global_state.client
    client.key_value_set(f"{_LEFT}/{jax.process_index()}", "")
    deadline = time.monotonic() + 2 * WATCH_SECONDS
    while is_first() and time.monotonic() < deadline:
        if len(client.key_value_dir_get(_LEFT)) == jax.process_count():
            time.sleep(PARTING_SECONDS)
            break
        time.sleep(0.05)


def is_first() -> bool:
    """Whether this process writes the logs."""
    return jax.process_index() == 0


def agree(holds: bool) -> bool:
    """Whether something holds in every process; all have to ask."""
    if jax.process_count() == 1:
        return holds
    return bool(multihost_utils.process_allgather(np.array(holds)).all())


def wait_for_all(name: str) -> None:
    """Waits until every process has come here.

    Args:
        name: what for, the same in all.
    """
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)
