"""One run at a time in a working directory."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from cnnjax.config import ConfigError

NAME = ".lock"


@contextlib.contextmanager
def lock(workdir: Path) -> Iterator[None]:
    """Holds ``workdir`` until the process ends, however it ends.

    Raises:
        ConfigError: another process holds it, or the folder cannot be written.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / NAME).open("a+")
    except OSError as error:
        raise ConfigError(
            f"workdir {workdir} cannot be written ({error.strerror}); give another"
            " --workdir"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise ConfigError(
                f"workdir {workdir} is in use by process {file.read().strip()}; wait"
                " for it, or give another --workdir"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
