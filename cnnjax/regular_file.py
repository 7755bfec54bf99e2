"""Opens files only if they are regular files.

A folder that somebody else made may hold a symbolic link or a named pipe in place of a
file. Opened as usual, the link would lead a write elsewhere, and the pipe would wait
forever.
"""

import os
import stat
from pathlib import Path
from typing import Any

_FLAGS = {
    "r": os.O_RDONLY,
    "a": os.O_WRONLY | os.O_APPEND | os.O_CREAT,
    "r+": os.O_RDWR | os.O_CREAT,
}
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
}


class NotRegularError(OSError):
    """Something other than a regular file where one was expected."""


def open_regular(
    path: str | Path, mode: str = "rb", *, follow_links: bool = True
) -> Any:
    """Opens a file if it is a regular one, without waiting.

    A named pipe would wait forever for a writer, and a device may never end.

    Args:
        path: the file.
        mode: ``"r"``; ``"a"`` or ``"r+"``, which make the file if it is missing; with
            ``"b"`` for bytes. Text is UTF-8.
        follow_links: whether ``path`` may be a symbolic link to a regular file. A user
            may name a link; in a run's folder, it could lead anywhere.

    Raises:
        NotRegularError: a file of another kind.
        OSError: a file that is missing or cannot be opened.
    """
    # The file may become a pipe or a link between the check and the opening.
    flags = _FLAGS[mode.replace("b", "")] | os.O_NONBLOCK | os.O_CLOEXEC
    if not follow_links:
        flags |= os.O_NOFOLLOW
    try:
        check_regular(path, follow_links=follow_links)
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
    descriptor = os.open(path, flags, 0o666)
    try:
        _check(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, mode, encoding=None if "b" in mode else "utf-8")


def check_regular(path: str | Path, *, follow_links: bool = True) -> None:
    """Refuses what is not a regular file, without opening it.

    Raises:
        NotRegularError: a file of another kind.
        OSError: no such file.
    """
    _check(os.stat(path, follow_symlinks=follow_links), path)


def _check(status: os.stat_result, path: str | Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no file")
        raise NotRegularError(f"{path} is {kind}, expected a regular file")
