"""How a process was launched: alone, by flags, or by Slurm or Open MPI.

Nothing here loads JAX, so that a bad flag is reported at once.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

from cnnjax.errors import ConfigError

LARGEST_PORT = 2**16 - 1
LONGEST_NUMBER = 9  # digits
_FLAGS = "give --coordinator, --num_processes and --process_id"


class Launch(NamedTuple):
    """The rank of a process and how to reach the others; ``None`` if not known yet.

    Attributes:
        coordinator: ``host:port`` of process 0.
        num_processes: number of processes of the run.
        process_id: rank of this process, from 0.
        launcher: ``"slurm"`` or ``"ompi"``, whose environment holds the rest.
    """

    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None
    launcher: str | None = None


def find_launch(flags: Launch, environment: Mapping[str, str] = os.environ) -> Launch:
    """How this process was launched, from its flags or its launcher's environment.

    Args:
        flags: given on the command line.
        environment: variables that Slurm or Open MPI set.

    Raises:
        ConfigError: flags that are incomplete or out of range, or a variable that is
            not a number.
    """
    if any(value is not None for value in flags[:3]):
        return check_launch(flags)
    if _count(environment, "SLURM_STEP_NUM_TASKS") > 1:
        return Launch(launcher="slurm")
    if _count(environment, "OMPI_COMM_WORLD_SIZE") > 1:
        return Launch(launcher="ompi")
    return Launch(num_processes=1, process_id=0)


def _count(environment: Mapping[str, str], name: str) -> int:
    """The number of processes that a launcher started; 1 if the variable is unset."""
    text = environment.get(name, "").strip()
    if not text:
        return 1
    if not _is_number(text) or int(text) < 1:
        raise ConfigError(
            f"the environment variable {name} is {text!r}, expected the number of"
            f" processes, 1 or more; unset it, or {_FLAGS}"
        )
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER


def check_launch(launch: Launch) -> Launch:
    """Returns ``launch`` if it is complete and within range.

    Raises:
        ConfigError: otherwise.
    """
    coordinator, count, number, _ = launch
    if coordinator is None or count is None or number is None:
        raise ConfigError(
            "--coordinator, --num_processes and --process_id go together, such as"
            " --coordinator=localhost:4711 --num_processes=2 --process_id=0; got"
            f" {coordinator}, {count} and {number}"
        )
    if count < 1 or not 0 <= number < count:
        raise ConfigError(
            f"--process_id is {number} of --num_processes={count}, expected 0 to"
            f" {count - 1}"
        )
    host, _, port = coordinator.rpartition(":")
    if not host or not _is_number(port):
        raise ConfigError(f"--coordinator is {coordinator!r}, expected host:port")
    if not 1 <= int(port) <= LARGEST_PORT:
        raise ConfigError(
            f"--coordinator is {coordinator!r}, expected a port from 1 to"
            f" {LARGEST_PORT}"
        )
    return launch
