"""Opens only regular files, writes whole files, and finds folders as users mean them.

A folder made by someone else may hold a symbolic link or a named pipe in place of a
file. Opened as usual, the link would send a write elsewhere, and the pipe would wait
forever.
"""

import os
import stat
from pathlib import Path
from typing import Any

from cnnjax.errors import ConfigError, NotRegularError

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


def open_regular(
    path: str | Path, mode: str = "rb", *, follow_links: bool = True
) -> Any:
    """Opens a file if it is a regular one, without waiting.

    A named pipe would wait forever for a writer, and a device may never end.

    Args:
        path: the file.
        mode: ``"r"``, or ``"a"`` or ``"r+"``, which create a missing file; with ``"b"``
            for bytes. Text is UTF-8.
        follow_links: whether ``path`` may be a symbolic link to a regular file. A user
            may name a link; in a run's folder, it could point anywhere.

    Raises:
        NotRegularError: not a regular file.
        OSError: a file that is missing or cannot be opened.
    """
    # Between check and open, the file may be replaced by a pipe or a link.
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
        NotRegularError: not a regular file.
        OSError: no such file.
    """
    _check(os.stat(path, follow_symlinks=follow_links), path)


def _check(status: os.stat_result, path: str | Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no file")
        raise NotRegularError(f"{path} is {kind}, expected a regular file")


def write_whole(path: Path, content: str | bytes) -> None:
    """Replaces a file in one step: others see the old content or the new, never a part.

    A process that is killed before the end leaves the old file. The draft is a new
    file, so that an existing link of the same name is not followed.

    Raises:
        OSError: with the name of the file.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)
    try:
        with draft.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise OSError(
            f"{path} cannot be written ({error.strerror}); the old file is unchanged"
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def append_whole(descriptor: int, content: bytes) -> None:
    """Appends all of ``content`` to a file, or nothing.

    Args:
        descriptor: of a file that was opened for appending.
        content: goes to the operating system at once.

    Raises:
        OSError: there is no room; the file is as it was.
    """
    size = os.fstat(descriptor).st_size
    try:
        while content:
            content = content[os.write(descriptor, content) :]
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def check_folder_of(path: str | Path) -> None:
    """Refuses a file to be written whose folder does not exist or is protected.

    Raises:
        ConfigError: names the file.
    """
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"{path} cannot be written: its folder does not exist")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(
            f"{path} cannot be written: nothing may be written into its folder; choose"
            " another one"
        )
    if Path(path).is_dir():
        raise ConfigError(f"{path} cannot be written: it is a folder")


def user_cache_folder() -> Path:
    """``cnnjax`` in the user's cache folder, by ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "cnnjax"


def expand_path(name: str | Path, setting: str) -> Path:
    """The path that a user means, with ``~`` replaced by the home folder.

    Args:
        name: the path as the user wrote it.
        setting: what the path is for, for the message.

    Raises:
        ConfigError: an empty path, or the home folder of an unknown user.
    """
    if not str(name):
        raise ConfigError(f"{setting} is empty, expected a path")
    path = os.path.expanduser(name)  # ``Path.expanduser`` expands "./~a", too
    if path.startswith("~"):
        raise ConfigError(
            f"{setting} is {str(name)!r}, whose home folder is unknown; write the full"
            " path, or './~...' for a name that begins with '~'"
        )
    return Path(path)
