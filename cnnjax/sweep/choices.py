"""The values of ``--set``: lists and ranges, and for a search also intervals."""

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cnnjax.config.defaults import kind_of
from cnnjax.errors import ConfigError, show

MOST = 1000
"""Values of one setting, and runs of one sweep."""

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_INTERVAL = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(:log)?", re.ASCII)
_RANGE = re.compile(r"(-?\d{1,12}):(-?\d{1,12})", re.ASCII)
_WHOLE = re.compile(r"[-+]?\d+", re.ASCII)
_OPENING, _CLOSING = "([{", ")]}"


class Choices(NamedTuple):
    """A setting with the texts of its values, as on the command line."""

    name: str
    texts: tuple[str, ...]


class Interval(NamedTuple):
    """A setting with the ends of its values, both included.

    Attributes:
        name: of the setting.
        low: its least value; with ``high`` a whole number where only these are meant.
        high: its largest value.
        is_log: whether all orders of magnitude are equally likely.
    """

    name: str
    low: float
    high: float
    is_log: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether the values are whole numbers."""
        return isinstance(self.low, int)


def parse_sets(words: Sequence[str], fixed: Sequence[str]) -> list[Choices | Interval]:
    """The settings of all ``--set`` words.

    Args:
        words: such as ``"seed=0:3"``.
        fixed: names that ``--config.NAME`` sets.

    Raises:
        ConfigError: no word, a word that is no list, or a setting that is given twice.
    """
    found = [parse_set(word) for word in words]
    names = [each.name for each in found]
    if not found:
        raise ConfigError(
            "there is nothing to sweep, expected at least one --set, such as"
            " --set optimizer.learning_rate=1e-3,1e-2"
        )
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--set {name} is given twice; write one list")
        if name in fixed:
            raise ConfigError(
                f"{name} is swept by --set and fixed by --config.{name}; remove one of"
                " the two"
            )
        if name == "monitor":
            raise ConfigError(
                "monitor cannot be swept, because it decides which run is the best; set"
                " it with --config.monitor"
            )
    return found


def parse_set(word: str) -> Choices | Interval:
    """The setting and the values of one ``--set`` word.

    Args:
        word: ``NAME=A,B,C``, ``NAME=START:STOP`` for whole numbers as in Python's
            ``range``, ``NAME=LOW..HIGH`` or ``NAME=LOW..HIGH:log``. A comma within
            brackets or quotes does not separate values.

    Raises:
        ConfigError: something else.

    Example::

        >>> parse_set("seed=0:3")
        Choices(name='seed', texts=('0', '1', '2'))
        >>> parse_set("optimizer.learning_rate=1e-4..1e-1:log")
        Interval(name='optimizer.learning_rate', low=0.0001, high=0.1, is_log=True)
    """
    name, is_pair, text = word.partition("=")
    if not is_pair or not name.strip() or name.startswith("-"):
        raise ConfigError(
            f"--set is {show(word)}, expected NAME=VALUES, such as"
            " optimizer.learning_rate=1e-3,1e-2"
        )
    kind = kind_of(name)
    if kind is not str and (found := _INTERVAL.fullmatch(text)):
        return _interval(name, text, *found.groups())
    texts: list[str] = []
    for item in split_list(text):
        if not item:
            raise ConfigError(
                f"--set {name} is {show(text)}, in which a value is empty"
            )
        found = _RANGE.fullmatch(item) if kind is not str else None
        values = range(*map(int, found.groups())) if found else None
        if values is not None and not 0 < len(values) <= MOST:
            raise ConfigError(
                f"--set {name} holds {item!r}, a range of {len(values):,} values,"
                f" expected START:STOP with 1 to {MOST:,}, such as 0:3 for 0, 1 and 2"
            )
        texts += [item] if values is None else map(str, values)
    for item in texts:
        if texts.count(item) > 1:
            raise ConfigError(f"--set {name} holds {show(item)} twice; remove one")
    return Choices(name, tuple(texts))


def _interval(name: str, text: str, first: str, last: str, log: str) -> Interval:
    ends = [first, last]
    is_whole = all(map(_WHOLE.fullmatch, ends)) and kind_of(name) is not float
    if kind_of(name) is int and not is_whole:
        raise ConfigError(f"--set {name} is {text!r}, expected whole numbers LOW..HIGH")
    low, high = map(int if is_whole else float, ends)
    if not low < high or not math.isfinite(high - low):
        raise ConfigError(
            f"--set {name} is {text!r}, expected LOW..HIGH with LOW < HIGH"
        )
    if log and low <= 0:
        raise ConfigError(
            f"--set {name} is {text!r}, expected LOW above 0, because of :log"
        )
    return Interval(name, low, high, bool(log))


def split_list(text: str) -> list[str]:
    """The parts between the commas of a text, except those in brackets or quotes.

    Example::

        >>> split_list("(4, 8),'a,b',c")
        ['(4, 8)', "'a,b'", 'c']
    """
    return [part.strip() for part in _parts(text)]


def _parts(text: str) -> Iterator[str]:
    depth, quote, begin = 0, "", 0
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in _OPENING:
            depth += 1
        elif letter in _CLOSING:
            depth -= 1
        elif letter == "," and depth <= 0:
            yield text[begin:place]
            begin = place + 1
    yield text[begin:]
