"""The kinds of value that a setting may have, and how a wrong one is refused."""

import math
from typing import Any

from cnnjax.errors import wrong_value

EXPECTED = {
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    str: "a string",
    tuple: "a list, such as (1, 2)",
}

LARGEST = 3.4e38
"""The largest number that float32 holds."""


def fit(name: str, value: Any, kind: type) -> Any:
    """``value`` as one kind; a whole number may be a number, one value a list of one.

    Args:
        name: the setting's, for the message.
        value: what was given.
        kind: a key of ``EXPECTED``.

    Raises:
        ValueError: a value of another kind, with what was expected.
    """
    if kind is float and type(value) is int and abs(value) <= LARGEST:
        return float(value)
    if kind is tuple:
        return tuple(value) if isinstance(value, tuple | list) else (value,)
    if type(value) is not kind:
        raise wrong_value(name, value, EXPECTED[kind])
    return value


def fit_finite(name: str, value: Any) -> float:
    """``value`` as a number that is neither negative nor too large for float32.

    Raises:
        ValueError: another one, with what was expected.
    """
    number = fit(name, value, float)
    if math.isnan(number) or not 0 <= number <= LARGEST:
        raise wrong_value(name, value, f"a number from 0 to {LARGEST:g}")
    return number
