"""How much memory this process may have at most."""

import os
import resource
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


def memory_limit() -> int:
    """Bytes that no process here can exceed: of the machine, its container, its shell.

    Swap space counts as memory.
    """
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    limits += _cgroup_limits()
    total = min(limits) + _swap()
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            total = min(total, soft)
    return total


def _cgroup_limits() -> Iterable[int]:
    """The limits of this process's control groups and of the groups above them."""
    for line in _read(PROC / "self" / "cgroup").splitlines():
        _, controllers, name = line.split(":", 2)
        if not controllers:
            base, file = CGROUPS, "memory.max"
        elif "memory" in controllers.split(","):
            base, file = CGROUPS / "memory", "memory.limit_in_bytes"
        else:
            continue
        folder = base / name.lstrip("/")
        for place in (folder, *folder.parents):
            text = _read(place / file).strip()
            if text.isdecimal():
                yield int(text)


def _swap() -> int:
    for line in _read(PROC / "meminfo").splitlines():
        if line.startswith("SwapTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def _read(path: Path) -> str:
    """What a file of the system says; nothing where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
