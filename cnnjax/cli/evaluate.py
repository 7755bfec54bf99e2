"""``cnnjax evaluate``: scores a trained run on one of its splits."""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnjax.cli.saved_step import add_step, parse_step
from cnnjax.cli.start_jax import start_jax
from cnnjax.errors import ConfigError
from cnnjax.files import check_folder_of


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    evaluate = commands.add_parser(
        "evaluate",
        help="score a trained run",
        description="Score a trained run on one of its splits or on other data, each"
        " example once, and print loss, accuracy and the run's metrics as JSON.",
    )
    evaluate.add_argument(
        "--workdir", required=True, metavar="DIR", help="working directory of the run"
    )
    evaluate.add_argument(
        "--data",
        metavar="SOURCE",
        help="other data, such as npz:new.npz; default: the run's own data",
    )
    evaluate.add_argument(
        "--split",
        choices=("train", "validation", "test"),
        help="which examples; default: test, or all if other data has no test split",
    )
    add_step(evaluate)
    evaluate.add_argument(
        "--augment",
        metavar="NAMES",
        help="also score with test-time augmentation, such as flip,shift(1); default:"
        " the run's setting eval_augment",
    )
    evaluate.add_argument(
        "--report",
        action="store_true",
        help="print tables instead of JSON, with the scores of each class and the"
        " confusion matrix",
    )
    evaluate.add_argument(
        "--predictions",
        metavar="FILE",
        help="write file, label, prediction, loss and probabilities of each example to"
        " a .csv or .parquet file",
    )
    return evaluate


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Prints the score as JSON or as a report, and writes the predictions."""
    step = parse_step(args.step)
    if args.predictions is not None:
        _check_predictions(args.predictions, args.workdir)
    start_jax()
    from cnnjax.inference import evaluate_on, load
    from cnnjax.report.predictions_file import write_predictions
    from cnnjax.report.score_report import print_report
    from cnnjax.report.work import work_shown
    from cnnjax.train.run.evaluate_run import evaluate_step

    augment = None if args.augment is None else _names(args.augment)
    keep = args.report or args.predictions is not None
    with work_shown():
        if args.data is not None:
            trained = load(args.workdir, step)
            split, score, outputs, augmented, files, confusion = evaluate_on(
                trained, args.data, args.split, augment
            )
            names, step = trained.description.class_names, trained.step
            found = {"data": args.data, "split": split, "step": step}
        else:
            split = args.split or "test"
            scored = evaluate_step(
                args.workdir, split, step, keep_outputs=keep, augment=augment
            )
            step, score, outputs, names, augmented, files, confusion = scored[:7]
            found = {"split": split, "step": step}
    if args.predictions is not None and outputs is not None:
        write_predictions(args.predictions, outputs, names, files)
    shown = outputs if confusion is None else confusion
    if args.report and shown is not None:
        what = ", ".join(f"{name} {value}" for name, value in found.items())
        scores = {f"{what}, {score.examples:,} {score.unit}": score.as_record()}
        if augmented is not None:
            title = f"{what}, augmented: {', '.join(augmented.names)}"
            scores[title] = augmented.score.as_record()
        print_report(scores, shown, names, sys.stdout)
    else:
        _print_record(found, score.as_record())
        if augmented is not None:
            record = augmented.score.as_record()
            _print_record({**found, "augment": augmented.names}, record)
    return 0


def _print_record(found: Mapping[str, Any], record: Mapping[str, float]) -> None:
    """Prints what was scored, and the score, as one line of JSON."""
    from cnnjax.report.metrics_file import encode

    values = {name: encode(value) for name, value in record.items()}
    print(json.dumps({**found, **values}))


def _names(text: str) -> list[str]:
    """The names in a list such as ``flip,shift(1)``: no comma within parentheses."""
    return [name.strip() for name in re.split(r",(?![^(]*\))", text) if name.strip()]


def _check_predictions(path: str, workdir: str) -> None:
    """Refuses a file that cannot be written, before any work."""
    from cnnjax.data.tasks import SEGMENTATION
    from cnnjax.train.run import model_file

    described = Path(workdir, model_file.NAME)
    if described.exists() and model_file.read(described.parent).task == SEGMENTATION:
        raise ConfigError(
            f"--predictions is {path!r}, but the run predicts a class for each pixel,"
            " not a row for each example; use 'cnnjax predict --masks=DIR' to write"
            " label maps, or --report for the scores of each class"
        )
    if not path.endswith((".csv", ".parquet")):
        raise ConfigError(
            f"--predictions is {path!r}, expected a name that ends with .csv or"
            " .parquet"
        )
    check_folder_of(path)
