"""``cnnjax info``: tells about the installation and the devices."""

import argparse
from collections.abc import Mapping
from typing import Any

from cnnjax.cli.start_jax import start_jax


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    return commands.add_parser(
        "info",
        help="show versions, devices, the backend and cache folders",
        description="Show versions, devices, the backend in use, and cache folders.",
    )


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Prints the information."""
    start_jax()
    from cnnjax.report.information import describe_installation
    from cnnjax.train.machine.compilation_cache import default_folder

    print(describe_installation(default_folder()))
    return 0
