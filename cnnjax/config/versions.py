"""``config.json``: the settings of a run, and the version that wrote them.

The keys ``format_version`` and ``cnnjax_version`` stand beside the settings. Files
without them come from before there were any; their format is version 0.
"""

import json
import re
from typing import Any

from cnnjax import __version__
from cnnjax.config.defaults import Config
from cnnjax.config.files import from_tree, parse_tree
from cnnjax.errors import ConfigError, UnknownSettingError, wrong_value

FORMAT_VERSION = 1
"""Of the files that this version writes, and the newest that it reads."""

_FORMAT, _AUTHOR = "format_version", "cnnjax_version"
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+!-]{0,39}", re.ASCII)


def to_file(config: Config) -> str:
    """The text of ``config.json``."""
    versions = {_FORMAT: FORMAT_VERSION, _AUTHOR: __version__}
    return json.dumps(versions | config.to_dict(), indent=2, sort_keys=True) + "\n"


def from_file(text: str) -> Config:
    """The settings in a ``config.json`` of this version or an older one.

    Raises:
        UnknownSettingError: a setting or a format that this version does not know; the
            message begins with a verb whose subject is the file.
        ConfigError: damaged text, or wrong values.
    """
    tree = parse_tree(text)
    version, author = tree.pop(_FORMAT, 0), tree.pop(_AUTHOR, None)
    check_versions(version, author)
    try:
        return from_tree(tree)
    except UnknownSettingError as error:
        if author is None:
            what = (
                "was written by a newer version of cnnjax than"
                f" {__version__}, which is installed here ({error}); install that"
                " version"
            )
        elif author == __version__:
            what = (
                f"sets {error.name!r}, which cnnjax {__version__} does not know"
                f" ({error}), although that version wrote it; restore the file"
            )
        else:
            what = (
                f"sets {error.name!r}, which cnnjax {__version__} does not know;"
                f" cnnjax {author} wrote it: install that version"
            )
        raise UnknownSettingError(what, error.name) from error


def check_versions(version: Any, author: Any) -> None:
    """Refuses the versions that a file states if this version cannot read it.

    Args:
        version: of the file's format.
        author: the version of cnnjax that wrote it; ``None`` if the file does not say.

    Raises:
        UnknownSettingError: a newer format, in words that follow the file's name.
        ConfigError: values that no version writes.
    """
    if type(version) is not int or not 0 <= version < 2**31:
        raise ConfigError(str(wrong_value(_FORMAT, version, "a whole number from 0")))
    known = isinstance(author, str) and _VERSION.fullmatch(author)
    if author is not None and not known:
        raise ConfigError(
            str(wrong_value(_AUTHOR, author, f"a version such as {__version__!r}"))
        )
    if version > FORMAT_VERSION:
        wrote = f"cnnjax {author}" if author else "a newer version"
        raise UnknownSettingError(
            f"has {_FORMAT} {version}, but cnnjax {__version__} reads up to"
            f" {FORMAT_VERSION}; {wrote} wrote it: install that version",
            _FORMAT,
        )
