"""Every error that a user can meet, and the form of their messages."""

import difflib
import signal
from collections.abc import Iterable
from typing import Any

_SHOWN = 80  # characters


class ConfigError(ValueError):
    """A setting or an argument that cannot be used."""


class UnknownSettingError(ConfigError):
    """A setting that does not exist, or does not exist in this version.

    Attributes:
        name: the setting's.
    """

    def __init__(self, message: str, name: str = ""):
        super().__init__(message)
        self.name = name


class DataError(ValueError):
    """Data that cannot be used."""


class WeightsError(ConfigError):
    """A weights file that cannot be read, or that does not fit the network."""


class NotRegularError(OSError):
    """Something other than a regular file where one was expected."""


class BackendError(ValueError):
    """The requested backend cannot compute an operation."""


class NoKernels(RuntimeError):
    """The native kernels are required (``CNNJAX_REQUIRE_NATIVE``) but unusable."""


class CheckpointError(RuntimeError):
    """A state that cannot be saved, or cannot be restored into this network."""


class NonFiniteLossError(ArithmeticError):
    """The loss or the weights became NaN or infinite.

    Attributes:
        step: whose loss or gradient it was; ``None`` where weights overflowed.
    """

    def __init__(self, message: str, step: int | None = None):
        super().__init__(message)
        self.step = step


class Interrupted(Exception):
    """A run that was asked to stop and saved its state.

    Attributes:
        signal: the name of the signal, such as "SIGTERM".
        status: the exit status that shells expect, 128 plus the signal's number.
    """

    def __init__(self, number: int, step: int):
        self.signal = signal.Signals(number).name
        super().__init__(
            f"Stopped by {self.signal} after step {step} (checkpoint"
            " saved); rerun the same command to resume."
        )
        self.status = 128 + number


def wrong_value(name: str, value: Any, expected: str) -> ValueError:
    """The error for a value that is not allowed, to be raised."""
    return ValueError(f"{name} is {show(value)}, expected {expected}")


def show(value: Any) -> str:
    """``repr(value)``, cut off if it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python does not print whole numbers of 5,000 digits
        if not isinstance(value, int):
            return "a list with a whole number that is too long to show"
        text = f"a whole number of {value.bit_length():,} bits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def unknown_name(noun: str, name: object, valid: Iterable[str]) -> ValueError:
    """The error for a name outside a fixed set, to be raised; it suggests the closest.

    Args:
        noun: what the name stands for, such as "schedule".
        name: the given one.
        valid: all names that are allowed.
    """
    valid = sorted(valid)
    near = difflib.get_close_matches(str(name)[:80].lower(), valid, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    known = ", ".join(valid) or "none"
    return ValueError(f"unknown {noun} {show(name)}{hint} (valid: {known})")
