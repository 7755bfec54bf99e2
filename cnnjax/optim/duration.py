"""Durations in steps, epochs, examples, percent of the run, or time."""

import math
import re
from fractions import Fraction
from typing import NamedTuple

from cnnjax.errors import show, unknown_name

_UNITS = {
    "step": "steps",
    "steps": "steps",
    "epoch": "epochs",
    "epochs": "epochs",
    "example": "examples",
    "examples": "examples",
    "%": "percent",
    "percent": "percent",
    "second": "seconds",
    "seconds": "seconds",
    "minute": "minutes",
    "minutes": "minutes",
    "hour": "hours",
    "hours": "hours",
}
_SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600}
_PATTERN = re.compile(r"\s*([-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*(.*?)\s*")


class Duration(NamedTuple):
    """A length of training: an amount and its unit.

    Attributes:
        amount: zero or more.
        unit: ``"steps"``, ``"epochs"``, ``"examples"``, ``"percent"``, ``"seconds"``,
            ``"minutes"`` or ``"hours"``.
    """

    amount: float
    unit: str


def parse_duration(text: str | int) -> Duration:
    """Parses a duration such as ``"10 epochs"``.

    Args:
        text: an amount and a unit, singular or plural: ``"500 steps"``,
            ``"2.5 epochs"``, ``"20000 examples"``, ``"5%"``, ``"10 minutes"``. A bare
            number means steps.

    Raises:
        ValueError: if the number or the unit is invalid, or the amount is negative or
            not finite.
    """
    if isinstance(text, bool) or not isinstance(text, str | int):
        raise ValueError(_expected(text))
    match = _PATTERN.fullmatch(str(text).lower())
    if not match:
        raise ValueError(_expected(text))
    number, unit = match.groups()
    if unit and unit not in _UNITS:
        raise unknown_name(f"unit in duration {show(text)}:", unit, _UNITS)
    amount = float(number)
    if amount < 0 or not math.isfinite(amount):
        raise ValueError(
            f"duration is {show(text)}, expected a finite amount, zero or more"
        )
    return Duration(amount, _UNITS[unit or "steps"])


def to_steps(
    duration: Duration, *, examples: int, batch_size: int, total_steps: int | None
) -> int:
    """The number of training steps in a duration, rounded up to whole steps.

    Percentages are rounded down instead, so that less than 100 % is never the whole
    run.

    An epoch is ``examples / batch_size`` steps, without rounding. The total is
    ``ceil(amount * examples / batch_size)``, so that 10 epochs see each example 10
    times. The amount is taken as the decimal number that was written, and the
    arithmetic is exact.

    Args:
        duration: a result of ``parse_duration``.
        examples: number of training examples.
        batch_size: number of examples per step, over all devices.
        total_steps: length of the run in steps, which percentages refer to.

    Returns:
        Zero or more steps.

    Raises:
        ValueError: if a size is not positive, for a percentage without
            ``total_steps``, or for a time, which is not a fixed number of steps.
    """
    if examples < 1 or batch_size < 1:
        raise ValueError(
            f"examples is {examples} and batch_size is {batch_size}, expected positive"
            " numbers"
        )
    amount = Fraction(str(duration.amount))
    if duration.unit == "steps":
        return math.ceil(amount)
    if duration.unit == "epochs":
        return math.ceil(amount * examples / batch_size)
    if duration.unit == "examples":
        return math.ceil(amount / batch_size)
    if duration.unit in _SECONDS:
        raise ValueError(
            f"a duration of {duration.amount:g} {duration.unit} is not a fixed number"
            " of steps; write '10 epochs', '500 steps', '20000 examples' or '5%'"
        )
    if duration.unit != "percent":
        raise unknown_name("unit of duration", duration.unit, set(_UNITS.values()))
    if total_steps is None:
        raise ValueError(
            f"{duration.amount:g}% cannot be the length of the run itself; "
            "give it in steps, epochs or examples"
        )
    return math.floor(amount * total_steps / 100)


def to_seconds(duration: Duration) -> float | None:
    """The seconds in a duration of time; ``None`` if the unit is not a time."""
    if duration.unit not in _SECONDS:
        return None
    return duration.amount * _SECONDS[duration.unit]


def _expected(text: object) -> str:
    return (
        f"duration is {show(text)}, expected an amount and a unit; "
        "write '10 epochs', '500 steps', '20000 examples' or '5%'"
    )
