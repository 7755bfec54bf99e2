"""``cnnjax evaluate``: scores a trained run on one of its splits."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from cnnjax.cli.start_jax import start_jax
from cnnjax.errors import ConfigError, show

MOST_DIGITS = 18  # of a step


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    evaluate = commands.add_parser(
        "evaluate",
        help="score a trained run",
        description="Score a trained run on one of its splits, each example once, and"
        " print loss and accuracy as JSON.",
    )
    evaluate.add_argument(
        "--workdir", required=True, metavar="DIR", help="working directory of the run"
    )
    evaluate.add_argument(
        "--split",
        default="test",
        choices=("train", "validation", "test"),
        help="which examples; default: test",
    )
    evaluate.add_argument(
        "--step",
        metavar="best|last|N",
        help="which saved state; default: the one that training ended with",
    )
    return evaluate


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Prints the score."""
    step = args.step
    if step is not None and step not in ("best", "last"):
        if not (step.isascii() and step.isdecimal() and len(step) <= MOST_DIGITS):
            raise ConfigError(
                f"--step is {show(step)}, expected best, last or a number"
            )
        step = int(step)
    start_jax()
    from cnnjax.report.work import work_shown
    from cnnjax.train.run.trained import evaluate_step

    with work_shown():
        step, score = evaluate_step(args.workdir, args.split, step)
    print(json.dumps({"split": args.split, "step": step, **score.as_record()}))
    return 0
