"""``cnnjax compare``: holds the hand-written gradients against ``jax.grad``."""

import argparse
from collections.abc import Mapping
from typing import Any

from cnnjax.cli.start_jax import start_jax
from cnnjax.config.files import load_config
from cnnjax.errors import ConfigError
from cnnjax.files import check_folder_of


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    compare = commands.add_parser(
        "compare",
        help="compare the hand-written gradients with jax.grad",
        description="Compare each hand-written gradient with jax.grad of the stock"
        " operations, with a float64 run and with finite differences. The exit status"
        " is 1 if any gradient is off.",
    )
    what = compare.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--config",
        metavar="FILE",
        help="compare all operations, and this config's network on its data",
    )
    what.add_argument(
        "--ops",
        nargs="*",
        metavar="OP",
        help="compare operations only: those named, or all",
    )
    compare.add_argument(
        "--checkpoint",
        metavar="DIR",
        help="take the weights from this trained run: its working directory, or one of"
        " its checkpoints",
    )
    compare.add_argument("--timing", action="store_true", help="time both gradients")
    compare.add_argument("--json", metavar="FILE", help="write the values to a file")
    compare.add_argument("--html", metavar="FILE", help="write an HTML page")
    return compare


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Prints the comparison; 1 if a gradient is off."""
    config = load_config(args.config, overrides) if args.config else None
    for file in (args.json, args.html):
        if file:
            check_folder_of(file)
    if not config and (args.timing or args.checkpoint):
        raise ConfigError("--timing and --checkpoint need --config")
    start_jax()
    from cnnjax.compare import command
    from cnnjax.report.work import work_shown

    request = command.Request(
        config,
        ops=args.ops or (),
        checkpoint=args.checkpoint,
        timing=args.timing,
        json=args.json,
        html=args.html,
    )
    with work_shown():
        return 0 if command.run(request) else 1
