"""Names of folders that Orbax cannot work with as they are.

In a folder called ``lr=[0.1]`` or ``a*b``, Orbax looks for files by a pattern without
escaping the name: it finds nothing, or the files of another folder. A backslash, a part
that ends in ``.__lock``, ``gs:`` and bytes that are not UTF-8 fail as well. Such a
folder is opened, and Orbax gets the system's own name for the open folder.
"""

import os
import re
from pathlib import Path

from cnnjax.errors import ConfigError

OPEN_FILES = Path("/proc/self/fd")
PLAIN = re.compile(r"[\w/.,+=@~ -]{1,2000}", re.ASCII)
LOCK = re.compile(r"\.__lock(/|$)")  # reserved by TensorStore
LONGEST_PART, LONGEST = 255, 3900  # bytes; Linux allows 4,095, with the run's files


def check_name(workdir: Path) -> None:
    """Refuses a working directory that cannot hold a run, before any work.

    Raises:
        ConfigError: with what is wrong with the name.
    """
    name = os.fsencode(workdir.absolute())
    reason = None
    if b"\0" in name:
        reason = "holds a zero byte"
    elif len(name) > LONGEST:
        reason = f"has {len(name):,} bytes, expected at most {LONGEST:,}"
    elif any(len(part) > LONGEST_PART for part in name.split(b"/")):
        reason = f"has a part of more than {LONGEST_PART} bytes"
    elif not _is_plain(workdir.absolute()) and not OPEN_FILES.is_dir():
        reason = (
            "has characters other than letters, digits, spaces and _ / . , + = @ ~ -,"
            f" which needs {OPEN_FILES}, and this system does not have it"
        )
    if reason:
        raise ConfigError(f"workdir {str(workdir)!r} {reason}; give another --workdir")


class Folder:
    """A folder, and the name of it that Orbax can use.

    Args:
        path: an absolute path.
        create: whether to create the folder if it is missing.

    Attributes:
        path: its name for people.
        name: its name for Orbax, until ``close``.
    """

    def __init__(self, path: Path, *, create: bool):
        if create:
            path.mkdir(parents=True, exist_ok=True)
        self._number = None
        self.path = self.name = path
        if not _is_plain(path) and path.is_dir():
            self._number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            self.name = OPEN_FILES / str(self._number)

    def in_words(self, text: str) -> str:
        """A message of Orbax with the folder's name for people."""
        if self.name == self.path:
            return text
        return re.sub(rf"{re.escape(str(self.name))}\b", lambda _: str(self.path), text)

    def close(self) -> None:
        """Closes the folder, after which ``name`` is invalid."""
        if self._number is not None:
            os.close(self._number)
            self._number = None


def _is_plain(path: Path) -> bool:
    return bool(PLAIN.fullmatch(str(path))) and not LOCK.search(str(path))
