"""``cnnjax benchmark``: measures what a training and an inference step cost."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from cnnjax.cli.start_jax import start_jax
from cnnjax.config.files import load_config


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    benchmark = commands.add_parser(
        "benchmark",
        help="measure what a training and an inference step cost",
        description="Time the training step and the inference step of a config, and"
        " report throughput, operations and memory.",
    )
    benchmark.add_argument(
        "--config", required=True, metavar="FILE", help="such as configs/digits.py"
    )
    benchmark.add_argument(
        "--steps",
        type=int,
        default=20,
        metavar="N",
        help="how many steps of each kind are timed; default: 20",
    )
    benchmark.add_argument(
        "--json", action="store_true", help="print the values as JSON"
    )
    return benchmark


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Prints the measurements."""
    config = load_config(args.config, overrides)
    start_jax()
    from cnnjax.benchmark.steps import benchmark
    from cnnjax.benchmark.table import benchmark_table

    values = benchmark(config, args.steps)
    if args.json:
        print(json.dumps(values, indent=2))
        return 0
    from rich.console import Console

    Console(highlight=False, markup=False, emoji=False).print(benchmark_table(values))
    return 0
