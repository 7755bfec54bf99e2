"""The part of a source after its kind: ``path?option=value&option=value``."""

import difflib
import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from cnnjax.errors import DataError, show

_MOST_DIGITS = 10


class Argument(NamedTuple):
    """A path and the options that follow it."""

    path: Path
    options: dict[str, str]

    @property
    def num_classes(self) -> int | None:
        """The option ``classes`` as a number, or None where it is not given."""
        text = self.options.get("classes")
        if text is None:
            return None
        if (
            not text.isdecimal()
            or len(text) > _MOST_DIGITS
            or not 1 <= int(text) < 2**31
        ):
            raise DataError(
                f"classes={show(text)}: expected a whole number above 0, below 2^31"
            )
        return int(text)


def parse_argument(kind: str, argument: str, allowed: Collection[str]) -> Argument:
    """Splits an argument into its path and its options.

    A path may hold question marks: it is the longest text before one, or before the
    end, that is the path of something that exists. If nothing exists, it ends at the
    first question mark.

    Args:
      kind: kind of source, for messages.
      argument: ``path`` or ``path?option=value&option=value``.
      allowed: names of the options that this kind accepts.

    Raises:
      DataError: if the path is missing, or an option is unknown or has no value.
    """
    path, _, query = argument.partition("?")
    ends = [place for place, letter in enumerate(argument) if letter == "?"]
    for end in [len(argument), *reversed(ends)]:
        if os.path.lexists(os.path.expanduser(argument[:end])):
            path, query = argument[:end], argument[end + 1 :]
            break
    if not path:
        raise DataError(f"{kind!r} needs a path: write {kind + ':<path>'!r}")
    options = {}
    for item in filter(None, query.split("&")):
        name, _, value = item.partition("=")
        if name not in allowed or not value:
            near = difflib.get_close_matches(name, allowed, n=1)
            hint = f"did you mean {near[0] + '=...'!r}? " if near else ""
            expected = " or ".join(f"{known}=..." for known in sorted(allowed))
            raise DataError(
                f"{kind!r} has no option {item!r}: {hint}expected {expected or 'none'};"
                " a path with a question mark must exist"
            )
        options[name] = value
    return Argument(Path(os.path.expanduser(path)), options)
