"""The command line: ``cnnjax train``, ``evaluate``, ``compare``, and others.

Each command has a module with two functions: ``add`` declares its arguments, and
``run`` makes its call and returns the exit status.
"""

import argparse
import os
import re
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from cnnjax import __version__, streams
from cnnjax.cli import (
    benchmark,
    compare,
    config,
    evaluate,
    export,
    info,
    inspect,
    models,
    plan,
    predict,
    replay,
    report,
    show,
    sweep,
    train,
    upgrade_check,
    verify_resume,
)
from cnnjax.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    NoKernels,
    NonFiniteLossError,
)
from cnnjax.files import expand_path
from cnnjax.process import end_with, keep_freed_memory

COMMANDS = (
    train,
    sweep,
    evaluate,
    predict,
    export,
    report,
    show,
    inspect,
    replay,
    verify_resume,
    upgrade_check,
    compare,
    benchmark,
    plan,
    config,
    models,
    info,
)

# The exit status is 0 for success, 128 plus its number for a signal, and for errors:
STATUS_OF_ERRORS = {
    BrokenPipeError: 1,  # whoever read the output is gone; nobody is told
    ConfigError: 2,
    DataError: 2,
    NoKernels: 2,
    CheckpointError: 1,
    NonFiniteLossError: 1,
    OSError: 1,
}

_OVERRIDE = re.compile(r"--config\.([^=]+)(?:=(.*))?", re.DOTALL)
_PATHS = (
    "config",
    "workdir",
    "resume",
    "checkpoint",
    "json",
    "html",
    "out",
    "output",
    "predictions",
    "model",
)


def run() -> NoReturn:
    """Runs the command that this process was started with, as ``main``, and exits.

    Until a training loop watches for it, Ctrl-C ends the process at once: Python's
    exception would interrupt libraries while they are being loaded. Freed memory is
    kept for the next step (see ``cnnjax.process``), and output that nobody reads does
    not end the run (see ``cnnjax.streams``).
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    streams.use_utf8()
    streams.prepare()
    keep_freed_memory()
    end_with(main)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the words after the program's name; by default those of this process.

    Returns:
        The exit status, see ``STATUS_OF_ERRORS``.
    """
    parser = _make_parser()
    try:
        overrides, words = _split(sys.argv[1:] if argv is None else argv)
        args = parser.parse_args(words)
        if overrides and not getattr(args, "config", None):
            parser.error("--config.KEY=VALUE needs --config=FILE")
        _expand_paths(args)
        status = args.run(args, overrides)
        sys.stdout.flush()
        return status
    except tuple(STATUS_OF_ERRORS) as error:
        if not isinstance(error, BrokenPipeError):
            streams.tell_error(error)
        kinds = STATUS_OF_ERRORS.items()
        return next(status for kind, status in kinds if isinstance(error, kind))


class _Parser(argparse.ArgumentParser):
    """A parser that escapes control characters in the words that it refuses."""

    def error(self, message: str) -> NoReturn:
        """Refuses the command line."""
        super().error(streams.printable(message))


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="cnnjax",
        description="Train convolutional networks in JAX.",
        epilog="'cnnjax COMMAND --help' explains a command; 'cnnjax config' lists all"
        " settings.",
    )
    parser.add_argument("--version", action="version", version=f"cnnjax {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add(commands).set_defaults(run=module.run)
    return parser


def _split(argv: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The settings among the words, ``--config.KEY=VALUE``, and the other words."""
    overrides, words, rest = {}, [], iter(argv)
    for word in rest:
        match = _OVERRIDE.fullmatch(word)
        if match is None:
            words.append(word)
            continue
        name, value = match.groups()
        value = next(rest, "--") if value is None else value
        if value.startswith("--"):
            raise ConfigError(
                f"--config.{name} has no value; write --config.{name}=..."
            )
        overrides[name] = value
    return overrides, words


def _expand_paths(args: argparse.Namespace) -> None:
    """Replaces ``~`` with the home folder, and refuses an empty path."""
    for name in _PATHS:
        value = getattr(args, name, None)
        if isinstance(value, str):
            expand_path(value, f"--{name}")  # a path would lose the "./" of "./auto"
            setattr(args, name, os.path.expanduser(value))
