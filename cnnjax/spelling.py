"""Refusals of a name that nobody knows, with the nearest one that is known."""

import difflib
from collections.abc import Iterable

from cnnjax.kinds import show


def unknown_name(noun: str, name: object, valid: Iterable[str]) -> ValueError:
    """The error for a name outside a fixed set, ready to be raised.

    Args:
        noun: what the name stands for, as in "schedule".
        name: what was given.
        valid: every name that would have been taken.
    """
    valid = sorted(valid)
    near = difflib.get_close_matches(str(name)[:80].lower(), valid, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    known = ", ".join(valid) or "none"
    return ValueError(f"unknown {noun} {show(name)}{hint} (valid: {known})")
