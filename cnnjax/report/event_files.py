"""TensorBoard's event files in one folder, written so that no trouble ends a run."""

import contextlib
import os
import re
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
from tensorboardX.record_writer import masked_crc32c

from cnnjax.errors import ConfigError
from cnnjax.files import append_whole
from cnnjax.streams import warn

VERSION = "brain.Event:2"
MOST_WAITING = 2**26
"""Bytes of events that may wait in memory for room on the disk."""
_OWN = re.compile(r"events\.out\.tfevents\.(\d+)\..*\.(start|log|end)")


class _Waiting(NamedTuple):
    """A record that is not on disk yet, and the file that it belongs to."""

    file: int
    kind: str
    record: bytes


class EventFiles:
    """Appends events to files in a folder, each of which continues the one before.

    TensorBoard reads the files in the order of their names. Each record goes to the
    operating system when it is written, so a killed process loses at most that record.

    A full disk or a removed folder does not end a run: events wait in memory, and are
    written in order as soon as there is room again.

    Args:
        folder: is created inside an existing folder with the first event.
        tell: called with a sentence for people if events have to wait.

    Raises:
        ConfigError: something else in place of the folder.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None] = warn):
        if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
            raise ConfigError(f"{folder} is not a folder; move it away")
        self._folder, self._tell = folder, tell
        self._waiting: deque[_Waiting] = deque()
        self._file, self._kind = 0, "log"  # the one that new events belong to
        self._open: tuple[int, int] | None = None  # its number and descriptor
        self._failure, self._lost = "", 0

    def begin(self, kind: str) -> None:
        """Starts a new file: the next events go there.

        Args:
            kind: ``"start"``, ``"log"`` or ``"end"``, the end of its name.
        """
        self._file, self._kind = self._file + 1, kind

    def remove(self, *kinds: str) -> None:
        """Removes the files of earlier processes whose names end in ``kinds``."""
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                found = _OWN.fullmatch(path.name)
                if found and found[2] in kinds:
                    path.unlink(missing_ok=True)

    def write(self, step: int, **content: Any) -> None:
        """Writes one event.

        Args:
            step: that it belongs to.
            content: fields of TensorBoard's ``Event``, such as ``summary``.
        """
        event = Event(wall_time=time.time(), step=step, **content)
        record = _frame(event.SerializeToString())
        if self._failure and len(record) + self._waiting_bytes() > MOST_WAITING:
            self._lost += 1
            return
        self._waiting.append(_Waiting(self._file, self._kind, record))
        self._write()

    def close(self) -> None:
        """Closes the last file, and tells if events are lost; never an error."""
        if self._waiting:
            self._write()
        self._close_file()
        if lost := self._lost + len(self._waiting):
            self._tell(
                f"the last {lost} events for TensorBoard could not be written to"
                f" {self._folder} ({self._failure}); those before are complete"
            )
        self._waiting.clear()
        self._lost = 0

    def _write(self) -> None:
        """Writes the waiting events, or tells why they have to wait."""
        try:
            while self._waiting:
                file, kind, record = self._waiting[0]
                append_whole(self._descriptor(file, kind), record)
                self._waiting.popleft()
        except OSError as error:
            if not self._failure:
                self._tell(
                    f"events for TensorBoard cannot be written to {self._folder}"
                    f" ({error.strerror or error}); training continues, and they wait"
                    " in memory"
                )
            self._failure = error.strerror or str(error)
            return
        if self._failure:
            self._tell(f"the waiting events have been written to {self._folder}")
        self._failure = ""

    def _descriptor(self, file: int, kind: str) -> int:
        """The open file with that number; a new one if it was removed meanwhile."""
        if self._open and self._open[0] == file:
            if os.fstat(self._open[1]).st_nlink:
                return self._open[1]
            self._tell(
                f"{self._folder} was removed; TensorBoard's events from here on are in"
                " new files"
            )
        self._close_file()
        self._folder.mkdir(exist_ok=True)  # never the working directory itself
        path = (
            self._folder
            / f"events.out.tfevents.{self._number()}.{_host()}.{os.getpid()}.{kind}"
        )
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o666)
        version = Event(wall_time=time.time(), file_version=VERSION)
        try:
            append_whole(descriptor, _frame(version.SerializeToString()))
        except OSError:  # no file without its version
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        self._open = file, descriptor
        return descriptor

    def _number(self) -> str:
        """The time, but later than any name so far, even if the clock went back."""
        found = [_OWN.fullmatch(name) for name in os.listdir(self._folder)]
        last = max((int(match[1]) for match in found if match), default=0)
        return f"{max(int(time.time()), last + 1):010d}"

    def _waiting_bytes(self) -> int:
        return sum(len(each.record) for each in self._waiting)

    def _close_file(self) -> None:
        if self._open:
            os.close(self._open[1])
        self._open = None


def _frame(content: bytes) -> bytes:
    """A record of TFRecord files: its length and its content, each with a checksum."""
    length = struct.pack("<Q", len(content))
    sums = (struct.pack("<I", masked_crc32c(part)) for part in (length, content))
    return length + next(sums) + content + next(sums)


def _host() -> str:
    return re.sub(r"[^\w.-]", "_", socket.gethostname()) or "localhost"
