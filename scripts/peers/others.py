"""How much of the machine other processes use while a worker computes.

Threads that wait for each other suffer most from other load, so a busy machine does not
slow down all frameworks equally, and a comparison means little.
"""

import os
import time
from pathlib import Path
from typing import NamedTuple

TOLERABLE = 0.05


class Clock(NamedTuple):
    """Seconds: wall clock, busy time of all cores, CPU time of one process."""

    wall: float
    all_cores: float
    process: float


def read_clock(pid: int) -> Clock | None:
    """The clocks now; ``None`` where there is no ``/proc``.

    Args:
        pid: of the worker.
    """
    try:
        cores = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
        # What follows the program's name, which may hold spaces.
        own = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, cores[:8])
    busy = user + nice + system + irq + softirq + steal
    return Clock(
        time.perf_counter(), busy / ticks, (int(own[11]) + int(own[12])) / ticks
    )


def share_of_others(before: Clock | None, after: Clock | None) -> float | None:
    """The fraction of all cores' time used by others between two readings."""
    if before is None or after is None:
        return None
    wall, everyone, own = (b - a for a, b in zip(before, after, strict=True))
    return max(0.0, (everyone - own) / (wall * (os.cpu_count() or 1)))
