"""``cnnjax info``: tells about the installation, or about a config's network."""

import argparse
from collections.abc import Mapping
from typing import Any

from cnnjax.cli.benchmark import print_layers
from cnnjax.cli.start_jax import start_jax
from cnnjax.config.files import load_config


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    info = commands.add_parser(
        "info",
        help="show versions, devices and cache folders, or a network's layers",
        description="Show versions, devices, the backend in use, and cache folders."
        " With --config, show the layers of a network instead: their sizes, and which"
        " implementation computes each of their maps and why.",
    )
    info.add_argument("--config", metavar="FILE", help="such as configs/digits.py")
    return info


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Prints the information."""
    config = load_config(args.config, overrides) if args.config else None
    start_jax()
    if config:
        print_layers(config, steps=None)
        return 0
    from cnnjax.report.information import describe_installation
    from cnnjax.train.machine.compilation_cache import default_folder

    print(describe_installation(default_folder()))
    return 0
