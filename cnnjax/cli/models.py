"""``cnnjax models``: lists the networks."""

import argparse
from collections.abc import Mapping
from typing import Any

from cnnjax.cli.start_jax import load_jax
from cnnjax.errors import ConfigError, unknown_name


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    models = commands.add_parser(
        "models",
        help="list the networks: parameters, multiply-adds, input, weights, paper",
        description="List the networks that model.name can select, with the number of"
        " parameters, the multiply-adds for one image of the published input size, the"
        " libraries whose weights load, and the paper.",
    )
    models.add_argument(
        "names", nargs="*", metavar="NAME", help="only these; default: all"
    )
    return models


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Prints one line for each network."""
    load_jax()
    from cnnjax.benchmark.network_size import published_size
    from cnnjax.models.catalog import CATALOG

    for name in args.names:
        if name not in CATALOG:
            raise ConfigError(str(unknown_name("model", name, CATALOG)))
    row = "{:<18} {:>11} {:>10}  {:<13} {:<17} {}"
    print(row.format("name", "parameters", "mult-adds", "input", "weights", "paper"))
    for name in args.names or CATALOG:
        entry, size = CATALOG[name], published_size(name)
        cells = (
            name,
            f"{size.parameters:,}",
            f"{size.multiply_adds / 1e6:,.1f} M",
            "x".join(map(str, entry.shape)),
            ", ".join(entry.weights) or "-",
            entry.paper or "-",
        )
        print(row.format(*cells), flush=True)
    return 0
