"""``cnnjax evaluate``: scores a trained run on one of its splits."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from cnnjax.cli.saved_step import add_step, parse_step
from cnnjax.cli.start_jax import start_jax


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    evaluate = commands.add_parser(
        "evaluate",
        help="score a trained run",
        description="Score a trained run on one of its splits or on other data, each"
        " example once, and print loss and accuracy as JSON.",
    )
    evaluate.add_argument(
        "--workdir", required=True, metavar="DIR", help="working directory of the run"
    )
    evaluate.add_argument(
        "--data",
        metavar="SOURCE",
        help="other data, such as npz:new.npz; default: that of the run",
    )
    evaluate.add_argument(
        "--split",
        choices=("train", "validation", "test"),
        help="which examples; default: test, or all if other data has no test split",
    )
    add_step(evaluate)
    return evaluate


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Prints the score."""
    step = parse_step(args.step)
    start_jax()
    from cnnjax.report.work import work_shown

    if args.data is not None:
        from cnnjax.inference import evaluate_on, load

        with work_shown():
            trained = load(args.workdir, step)
            split, score = evaluate_on(trained, args.data, args.split)
        found = {"data": args.data, "split": split, "step": trained.step}
        print(json.dumps(found | score.as_record()))
        return 0
    from cnnjax.train.run.evaluate_run import evaluate_step

    split = args.split or "test"
    with work_shown():
        step, score = evaluate_step(args.workdir, split, step)
    print(json.dumps({"split": split, "step": step, **score.as_record()}))
    return 0
