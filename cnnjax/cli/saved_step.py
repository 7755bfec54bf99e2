"""The argument ``--step``: which saved state of a run a command takes."""

import argparse

from cnnjax.errors import ConfigError, show

MOST_DIGITS = 18


def add_step(command: argparse.ArgumentParser) -> None:
    """Declares the argument."""
    command.add_argument(
        "--step",
        metavar="best|last|N",
        help="which saved state; default: the one that training ended with",
    )


def parse_step(text: str | None) -> str | int | None:
    """The value of ``--step``: best, last, a number, or ``None``.

    Raises:
        ConfigError: another text.
    """
    if text in (None, "best", "last"):
        return text
    if not (text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS):
        raise ConfigError(f"--step is {show(text)}, expected best, last or a number")
    return int(text)
