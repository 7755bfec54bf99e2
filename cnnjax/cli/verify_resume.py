"""``cnnjax verify-resume``: proves that a resumed run equals an uninterrupted one."""

import argparse
from collections.abc import Mapping
from typing import Any

from cnnjax.cli.start_jax import load_jax


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    verify = commands.add_parser(
        "verify-resume",
        help="prove that a resumed run equals an uninterrupted one",
        description="Train a short run without a stop, then again in pieces that are"
        " killed and resumed, and compare the states after every step, bit for bit. The"
        " exit status is 1 if any state differs.",
    )
    verify.add_argument(
        "--config", required=True, metavar="FILE", help="such as configs/digits.py"
    )
    verify.add_argument(
        "--steps",
        type=int,
        default=30,
        metavar="N",
        help="length of the run; default: 30",
    )
    verify.add_argument(
        "--pieces",
        type=int,
        default=3,
        metavar="N",
        help="how many pieces the second run is trained in; default: 3",
    )
    return verify


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Prints what is compared; 1 if the runs differ."""
    load_jax(deterministic=True)  # whose devices are for the processes that train
    from cnnjax.report import Reporters
    from cnnjax.train.run.verify_resume import verify_resume

    same = verify_resume(
        args.config,
        overrides,
        steps=args.steps,
        pieces=args.pieces,
        reporter=Reporters(),
    )
    return 0 if same else 1
