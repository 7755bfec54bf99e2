"""Files that are opened only if they are regular ones."""

import os
import stat
from io import BufferedReader
from pathlib import Path

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}


def open_regular(path: str | Path) -> BufferedReader:
    """Opens a file for reading if it is a regular one, or a link to one.

    A named pipe would wait forever for a writer, and a device may never end.

    Raises:
        OSError: the file cannot be opened, or is of another kind.
    """
    check_regular(path)
    # Between the check and the opening the file may have become a pipe: never wait.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    file = os.fdopen(descriptor, "rb")
    try:
        _check(os.fstat(file.fileno()), path)
    except OSError:
        file.close()
        raise
    return file


def check_regular(path: str | Path) -> None:
    """Refuses what is not a regular file, without opening it.

    Raises:
        OSError: no such file, or one of another kind.
    """
    _check(os.stat(path), path)


def _check(status: os.stat_result, path: str | Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no file")
        raise OSError(f"{path} is {kind}, expected a regular file")
