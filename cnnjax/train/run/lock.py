"""One run at a time in a working directory, and what it saved there.

The lock file holds the process ID and, in a second line, the newest step whose
checkpoint is known to be on disk. That line distinguishes a run whose checkpoints are
lost from one that was stopped before its first.
"""

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cnnjax.errors import CheckpointError, ConfigError
from cnnjax.files import open_regular

NAME = ".lock"
SAVED = re.compile(rb"\d+\nsaved (\d{1,18})\n")
ELSEWHERE = "give another --workdir"


class Hold:
    """A working directory that the processes of one run hold.

    Args:
        workdir: its path.
        file: the open lock file in it, in the one process that has it.
    """

    def __init__(self, workdir: Path, file: BinaryIO | None = None):
        self.workdir = workdir
        self._file = file

    def note_saved(self, step: int | None) -> None:
        """Notes that the checkpoint of ``step`` is on disk; ``None``: that none is."""
        if self._file is not None and self.saved() != step:
            _write(self._file, step)

    def saved(self) -> int | None:
        """The step that was noted last."""
        return None if self._file is None else _read(self._file)

    def check(self) -> None:
        """Refuses to write to the folder if it is no longer the one that was locked.

        Otherwise a save would create a new folder in its place, without the rest of
        the run.

        Raises:
            CheckpointError: the folder was moved, removed or replaced.
        """
        if self._file is None or _is_at(self._file, self.workdir / NAME):
            return
        place = Path(f"/proc/self/fd/{self._file.fileno()}")
        now = Path(os.readlink(place)).parent if place.is_symlink() else None
        moved = now is not None and _is_at(self._file, now / NAME)
        raise CheckpointError(
            f"workdir {self.workdir} was moved to {now} during the run, which can no"
            " longer save; its checkpoints are intact: rerun the command with"
            f" --workdir={now} to resume it"
            if moved
            else f"workdir {self.workdir} was removed or replaced during the run, which"
            " can no longer save; restore the folder, or start a new run"
        )


@contextlib.contextmanager
def lock(workdir: Path) -> Iterator[Hold]:
    """Holds ``workdir`` until the process ends, however it ends.

    A folder that was created for the run is removed if the run leaves nothing in it.

    Raises:
        ConfigError: another process holds it, or the folder cannot be written.
    """
    if workdir.exists() and not workdir.is_dir():
        raise ConfigError(
            f"workdir {workdir} is a file, expected a folder; {ELSEWHERE}"
        )
    made = [folder for folder in (workdir, *workdir.parents) if not folder.exists()]
    is_new = not os.path.lexists(workdir / NAME)
    try:
        file = _take(workdir)
    except OSError as error:
        raise ConfigError(
            f"workdir {workdir} cannot be written ({error.strerror or error});"
            f" {ELSEWHERE}"
        ) from error
    with file:
        _write(file, _read(file))
        try:
            yield Hold(workdir, file)
        finally:
            if not _is_at(file, workdir / NAME):
                _remove_half_saves(workdir)
            elif is_new:
                _leave_no_trace(workdir, made)


def _take(workdir: Path) -> BinaryIO:
    while True:
        workdir.mkdir(parents=True, exist_ok=True)
        file = open_regular(workdir / NAME, "r+b", follow_links=False)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = file.read(20).partition(b"\n")[0].decode(errors="replace")
            file.close()
            raise ConfigError(
                f"workdir {workdir} is in use by process {owner}; wait for it, or"
                f" {ELSEWHERE}"
            ) from error
        # A run that left nothing may have removed the file in the meantime.
        if _is_at(file, workdir / NAME):
            return file
        file.close()


def saved_step(workdir: Path) -> int | None:
    """The newest step that the run in ``workdir`` saved; ``None`` if it is unknown."""
    try:
        with open_regular(workdir / NAME, follow_links=False) as file:
            return _read(file)
    except OSError:
        return None


def _read(file: BinaryIO) -> int | None:
    found = SAVED.fullmatch(os.pread(file.fileno(), 100, 0))
    return int(found[1]) if found else None


def _write(file: BinaryIO, step: int | None) -> None:
    """Writes in place; on a full disk, the run continues without it."""
    line = "" if step is None else f"saved {step}\n"
    content = f"{os.getpid()}\n{line}".encode()
    with contextlib.suppress(OSError):
        os.pwrite(file.fileno(), content, 0)
        os.ftruncate(file.fileno(), len(content))


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file is the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except OSError:
        return False


def _remove_half_saves(workdir: Path) -> None:
    """Removes what a save created in the place of a folder that was moved away."""
    if os.path.lexists(workdir / NAME):
        return  # another run is there
    with contextlib.suppress(OSError):
        for half in (workdir / "checkpoints").glob("*.orbax-checkpoint-tmp"):
            shutil.rmtree(half)
        (workdir / "checkpoints").rmdir()
        workdir.rmdir()


def _leave_no_trace(workdir: Path, made: list[Path]) -> None:
    with contextlib.suppress(OSError):
        left = [path for path in workdir.iterdir() if path.name != NAME]
        if any(path.name != "checkpoints" for path in left):
            return  # the run's files, or the user's own
        for folder in left:
            folder.rmdir()  # raises where a save is in it
        (workdir / NAME).unlink()
        for folder in made:
            folder.rmdir()
