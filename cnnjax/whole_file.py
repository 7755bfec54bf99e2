"""Files that are written in one piece."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that everyone sees all of it, or what was there before.

    A process that is killed on the way leaves the old file. The draft is made anew, so
    that a link of its name leads nowhere.

    Raises:
        OSError: with the name of the file.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)
    try:
        with draft.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise OSError(
            f"{path} cannot be written ({error.strerror}); what was there before stays"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
