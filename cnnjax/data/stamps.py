"""What tells whether a file is still the same, without reading it."""

import os
import time
from pathlib import Path

Stamp = tuple[str | int, ...]
"""The absolute path, size and times of a file, and where in it an image lies."""

SETTLED_NS = 2 * 10**9
"""A file that changed less than 2 s ago may change again within the same clock tick."""


def stamp(path: str | Path) -> Stamp | None:
    """The path, size and times of a file; ``None`` if these do not identify it yet.

    A file that cannot be found is identified by the reason.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # a path may hold a null byte
        return os.path.abspath(path), str(getattr(error, "strerror", error))
    changed = max(status.st_mtime_ns, status.st_ctime_ns)
    if time.time_ns() - changed < SETTLED_NS:
        return None
    times = status.st_mtime_ns, status.st_ctime_ns
    return os.path.abspath(path), status.st_size, *times
