"""Conversion of a value to the type of its setting, or a refusal."""

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

FROM_PYTHON = "<python>"
"""The source of data, or the name of a model, that a Python caller passed itself."""

LARGEST = 3.4e38
"""The largest number that float32 holds."""


LARGEST_SIZE = 2**31 - 1
"""The largest number of examples, classes, pixels or channels."""


def is_size(value: Any) -> bool:
    """Whether a value is a whole number that counts something: 1 or more."""
    return type(value) is int and 1 <= value <= LARGEST_SIZE


def fit(name: str, value: Any, kind: type) -> Any:
    """``value`` as one type; a whole number counts as a number, one value as a list.

    Args:
        name: of the setting, for the message.
        value: the given one.
        kind: a key of ``EXPECTED``.

    Raises:
        ValueError: a value of another type.
    """
    if kind is float and type(value) is int and abs(value) <= LARGEST:
        return float(value)
    if kind is tuple:
        return tuple(value) if isinstance(value, tuple | list) else (value,)
    if type(value) is not kind:
        raise wrong_value(name, value, EXPECTED[kind])
    return value


def fit_finite(name: str, value: Any) -> float:
    """``value`` as a number from 0 to the largest of float32.

    Raises:
        ValueError: another value.
    """
    number = fit(name, value, float)
    if math.isnan(number) or not 0 <= number <= LARGEST:
        raise wrong_value(name, value, f"a number from 0 to {LARGEST:g}")
    return number
