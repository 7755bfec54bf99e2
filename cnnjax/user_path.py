"""Paths as users write them."""

import os
from pathlib import Path

from cnnjax.config import ConfigError


def expand(name: str | Path, setting: str) -> Path:
    """The path that a user means; ``~`` is the home folder.

    Args:
        name: the path as it was given.
        setting: what it was given for, for the message.

    Raises:
        ConfigError: an empty path, or the home folder of an unknown user.
    """
    if not str(name):
        raise ConfigError(f"{setting} is empty, expected a path")
    path = os.path.expanduser(name)  # ``Path.expanduser`` expands "./~a", too
    if path.startswith("~"):
        raise ConfigError(
            f"{setting} is {str(name)!r}, whose home folder is unknown; write the whole"
            " path, or './~...' for a name that begins with '~'"
        )
    return Path(path)
