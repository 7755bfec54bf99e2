"""``cnnjax plan``: compiles a run for devices that are not there."""

import argparse
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnjax.cli.start_jax import start_jax
from cnnjax.config.files import load_config
from cnnjax.errors import ConfigError, DataError, show
from cnnjax.files import check_folder_of, write_whole


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    plan = commands.add_parser(
        "plan",
        help="estimate what a run needs on a TPU or GPU, without the device",
        description="Compile the training step and the evaluation step of a config for"
        " devices that need not be present, and report their memory, operations,"
        " traffic, transfers between devices, and the shortest possible step time.",
    )
    plan.add_argument(
        "--config", required=True, metavar="FILE", help="such as configs/digits.py"
    )
    plan.add_argument(
        "--for",
        required=True,
        dest="target",
        metavar="DEVICES",
        help="h100 or a100 (h100:8 for eight), v5e:2x2, v6e:4x4, v4:2x2x1, or cpu",
    )
    plan.add_argument(
        "--image-size",
        metavar="SIZE",
        help="such as 224x224x3, with --classes, to plan without the data",
    )
    plan.add_argument(
        "--classes", type=int, metavar="N", help="number of classes, with --image-size"
    )
    plan.add_argument(
        "--largest-batch",
        action="store_true",
        help="compile for other batches, to find the largest that fits",
    )
    plan.add_argument(
        "--savings",
        action="store_true",
        help="compile with accumulate_steps and model.remat, to see what they save",
    )
    plan.add_argument(
        "--exact",
        action="store_true",
        help="for TPUs: compile exactly as the run does, which takes several times as"
        " long",
    )
    plan.add_argument(
        "--json", metavar="FILE", help="also write the values to this file"
    )
    return plan


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Prints the plan; the exit status is 1 if a step does not fit."""
    shape = _shape(args)
    if args.json:
        check_folder_of(args.json)
    from cnnjax.plan.targets import parse_target, prepare

    target = parse_target(args.target)
    config = load_config(args.config, overrides)
    prepare(target, os.environ)
    start_jax()
    from rich.console import Console

    from cnnjax.plan.command import plan
    from cnnjax.plan.steps import describe_data
    from cnnjax.plan.table import plan_table
    from cnnjax.report.work import work_shown
    from cnnjax.train.run.experiment import ALL_FROM_CONFIG

    parts = ALL_FROM_CONFIG
    if shape:
        parts = describe_data(config, shape, args.classes)
    try:
        with work_shown():
            values = plan(
                config,
                target,
                parts,
                largest_batch=args.largest_batch,
                with_savings=args.savings,
                exact=args.exact,
            )
    except DataError as error:
        hint = "to plan without the data, give --image-size and --classes"
        raise DataError(f"{error}; {hint}") from error
    if args.json:
        text = json.dumps(values, indent=2) + "\n"
        write_whole(Path(args.json), text.encode())
    Console(highlight=False, markup=False, emoji=False).print(plan_table(values))
    return int("problem" in values["training"] or "problem" in values["evaluation"])


def _shape(args: argparse.Namespace) -> tuple[int, ...]:
    """The shape of an image, if the data are not at hand; otherwise empty.

    Raises:
        ConfigError: another form, or one of the two arguments alone.
    """
    if (args.image_size is None) != (args.classes is None):
        given, other = ("--image-size", "--classes")
        if args.image_size is None:
            given, other = other, given
        raise ConfigError(f"{given} is given without {other}; planning needs both")
    if args.image_size is None:
        return ()
    if not re.fullmatch(r"[1-9]\d{0,5}(x[1-9]\d{0,5}){1,3}", args.image_size):
        raise ConfigError(
            f"--image-size is {show(args.image_size)}, expected height, width and"
            " channels, such as 224x224x3 (signals: 100x1, volumes: 16x112x112x3)"
        )
    if not 1 <= args.classes < 2**31:
        raise ConfigError(f"--classes is {args.classes}, expected 1 to {2**31 - 1}")
    return tuple(map(int, args.image_size.split("x")))
