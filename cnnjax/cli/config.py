"""``cnnjax config``: lists all settings, or those of a config file."""

import argparse
from collections.abc import Mapping
from typing import Any

from cnnjax.config.files import load_config
from cnnjax.config.listing import list_config, list_settings
from cnnjax.streams import printable


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    config = commands.add_parser(
        "config",
        help="list all settings, or those of a config file",
        description="List all settings with their defaults, or with --config, the"
        " settings of a config file after overrides; those that differ from the"
        " defaults begin with '*'.",
    )
    config.add_argument("--config", metavar="FILE", help="such as configs/digits.py")
    return config


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Prints the list."""
    if args.config:
        text = list_config(load_config(args.config, overrides))
    else:
        text = list_settings()
    print("\n".join(map(printable, text.splitlines())))
    return 0
