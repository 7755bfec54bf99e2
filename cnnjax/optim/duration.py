"""Durations of a run, written in steps, epochs, examples, percent or time."""

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
        amount: how many, zero or more.
        unit: ``"steps"``, ``"epochs"``, ``"examples"``, ``"percent"``, ``"seconds"``,
            ``"minutes"`` or ``"hours"``.
    """

    amount: float
    unit: str


def parse_duration(text: str | int) -> Duration:
    """The duration that a text like ``"10 epochs"`` stands for.

    Args:
        text: an amount and a unit, in the singular or the plural: ``"500 steps"``,
            ``"2.5 epochs"``, ``"20000 examples"``, ``"5%"``, ``"10 minutes"``. A number
            alone counts steps.

    Raises:
        ValueError: if there is no such number or unit, or the amount is negative or
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
        raise ValueError(f"duration {show(text)} must be finite and zero or more")
    return Duration(amount, _UNITS[unit or "steps"])


def to_steps(
    duration: Duration, *, examples: int, batch_size: int, total_steps: int | None
) -> int:
    """The number of training steps in a duration, rounded up to whole steps.

    A percentage is rounded down instead, so that a part is never the whole of a run.

    An epoch is ``examples / batch_size`` steps, not rounded: epochs add up to
    ``ceil(amount * examples / batch_size)``, so that 10 epochs see each example 10
    times. The amount counts as the decimal number that was written, and the arithmetic
    is exact.

    Args:
        duration: what ``parse_duration`` returned.
        examples: how many examples the training set holds.
        batch_size: how many examples one step sees, over all devices.
        total_steps: the length of the run, in steps: what percent is a part of.

    Returns:
        Zero or more steps.

    Raises:
        ValueError: if a size is not positive, for percent without ``total_steps``, or
            for a time, which is no fixed number of steps.
    """
    if examples < 1 or batch_size < 1:
        raise ValueError(
            f"examples and batch_size must be positive, got {examples} and {batch_size}"
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
            f"a duration of {duration.amount:g} {duration.unit} is no number of steps;"
            " write '10 epochs', '500 steps', '20000 examples' or '5%'"
        )
    if duration.unit != "percent":
        raise unknown_name("unit of duration", duration.unit, set(_UNITS.values()))
    if total_steps is None:
        raise ValueError(
            f"{duration.amount:g}% has no whole to be a part of; "
            "give the length of the run itself in steps, epochs or examples"
        )
    return math.floor(amount * total_steps / 100)


def to_seconds(duration: Duration) -> float | None:
    """The seconds in a duration of time; ``None`` for one that counts steps."""
    if duration.unit not in _SECONDS:
        return None
    return duration.amount * _SECONDS[duration.unit]


def _expected(text: object) -> str:
    return (
        f"duration {show(text)} is not an amount and a unit; "
        "write '10 epochs', '500 steps', '20000 examples' or '5%'"
    )
