"""``cnnjax benchmark``: measures what a step costs, or each of its layers."""

import argparse
import json
import shutil
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
        " report throughput, operations and memory. With --layers, time each layer"
        " alone instead, and name the implementation of each map and the reason.",
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
        "--layers",
        action="store_true",
        help="time the layers: forward, input gradient and kernel gradient",
    )
    benchmark.add_argument(
        "--json", action="store_true", help="print the values as JSON"
    )
    return benchmark


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Prints the measurements."""
    config = load_config(args.config, overrides)
    start_jax(deterministic=config.deterministic)
    if args.layers:
        print_layers(config, args.steps, as_json=args.json)
        return 0
    from cnnjax.benchmark.steps import benchmark
    from cnnjax.benchmark.table import benchmark_table

    values = benchmark(config, args.steps)
    if args.json:
        print(json.dumps(values, indent=2))
        return 0
    from rich.console import Console

    Console(highlight=False, markup=False, emoji=False).print(benchmark_table(values))
    return 0


def print_layers(config: Any, steps: int | None, *, as_json: bool = False) -> None:
    """Prints the layers of a config's network.

    Args:
        config: checked settings.
        steps: how many calls of each map are timed; ``None`` times nothing.
        as_json: whether for machines.
    """
    from cnnjax.benchmark.layer_table import benchmark_layers, layer_lines

    values = benchmark_layers(config, steps)
    width = shutil.get_terminal_size().columns
    text = json.dumps(values, indent=2) if as_json else layer_lines(values, width)
    print(text)
