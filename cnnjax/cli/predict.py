"""``cnnjax predict``: classes and probabilities of images."""

import argparse
from collections.abc import Mapping
from typing import Any

from cnnjax.cli.saved_step import add_step, parse_step
from cnnjax.cli.start_jax import start_jax
from cnnjax.errors import ConfigError
from cnnjax.files import check_folder_of

FORMATS = ("table", "json", "jsonl", "csv")


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    predict = commands.add_parser(
        "predict",
        help="classify images with a trained model",
        description="Classify images with the trained model of a run (only its"
        " model.json and a checkpoint are needed) or with an exported file. An image"
        " that cannot be read is reported and skipped, and the exit status is then 1.",
    )
    source = predict.add_mutually_exclusive_group(required=True)
    source.add_argument("--workdir", metavar="DIR", help="working directory of the run")
    source.add_argument(
        "--model", metavar="FILE", help="a file that 'cnnjax export' wrote"
    )
    predict.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="image files, folders, patterns such as 'new/*.png', an .npz file with an"
        " array 'images', or '-' for one path per line on standard input",
    )
    predict.add_argument(
        "--top",
        type=int,
        default=5,
        metavar="K",
        help="how many classes to show; default: 5",
    )
    predict.add_argument(
        "--format", default="table", choices=FORMATS, help="default: table"
    )
    predict.add_argument(
        "--output", metavar="FILE", help="write to a file instead of standard output"
    )
    predict.add_argument(
        "--masks",
        metavar="DIR",
        help="for segmentation: write the class of each pixel to PNG files in this"
        " folder, at the size that the network sees",
    )
    add_step(predict)
    return predict


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Prints the predictions; 1 if an input was skipped."""
    step = parse_step(args.step)
    if args.output is not None:
        check_folder_of(args.output)
    if args.top < 1:
        raise ConfigError(f"--top is {args.top}, expected a whole number above 0")
    if args.model is not None and step is not None:
        raise ConfigError(
            "--step selects a checkpoint of --workdir, but --model is given, whose file"
            " holds only one; leave --step out"
        )
    start_jax()
    from cnnjax.inference import load
    from cnnjax.inference.export import open_exported
    from cnnjax.inference.predict_files import predict_files
    from cnnjax.report.work import work_shown

    with work_shown():
        skipped = predict_files(
            open_exported(args.model) if args.model else load(args.workdir, step),
            args.inputs,
            top=args.top,
            form=args.format,
            output=args.output,
            masks=args.masks,
        )
    return 1 if skipped else 0
