"""Reads JSON that may be damaged or malicious, within limits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from cnnjax.files import open_regular

MAX_BYTES = 64 * 2**20
"""The largest file that is read."""

MAX_DEPTH = 100
"""How deep arrays and objects may be nested."""

MAX_DIGITS = 40
"""Digits of the longest whole number; no setting and no array needs more."""

Pairs = Callable[[list[tuple[str, Any]]], Any]


def read_json(path: str | Path, *, follow_links: bool = False) -> Any:
    """The value in a JSON file.

    Args:
        path: a regular file of UTF-8 text.
        follow_links: whether a link to one is accepted; in a run's folder it is not.

    Raises:
        OSError: a file that cannot be read, or is not a regular one.
        ValueError: whatever ``parse_json`` refuses.
    """
    with open_regular(path, follow_links=follow_links) as file:
        return parse_json(file.read(MAX_BYTES + 1))


def parse_json(text: str | bytes, *, object_pairs_hook: Pairs | None = None) -> Any:
    """The value that JSON text stands for.

    Args:
        text: the text; bytes are UTF-8.
        object_pairs_hook: makes an object from its keys and values; a dict by default.

    Raises:
        ValueError: text that is not JSON, is too long or nested too deeply, or holds
            NaN, Infinity or an absurdly long number.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES:,} bytes, which is the limit")
    if isinstance(text, bytes):
        text = text.decode()
    try:
        value = json.loads(
            text,
            object_pairs_hook=object_pairs_hook,
            parse_int=_parse_int,
            parse_constant=_refuse_constant,
        )
    except RecursionError:
        raise ValueError(_too_deep()) from None
    _check_depth(value)
    return value


def _parse_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(
            f"a number of {len(digits):,} digits, expected at most {MAX_DIGITS}"
        )
    return int(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON, expected a finite number")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise ValueError(_too_deep())


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []


def _too_deep() -> str:
    return f"arrays and objects are nested more than {MAX_DEPTH} levels deep"
