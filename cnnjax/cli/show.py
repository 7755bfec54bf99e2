"""``cnnjax show``: draws what the network sees, without training it."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnjax.cli.start_jax import start_jax
from cnnjax.config.files import load_config
from cnnjax.errors import ConfigError
from cnnjax.files import check_folder_of, write_whole
from cnnjax.streams import printable


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    show = commands.add_parser(
        "show",
        help="draw what the network sees: a training batch and validation images",
        description="Draw a sheet of images with their labels, exactly as the network"
        " sees them: the first of a training batch, with that step's order, crops,"
        " augmentations and mixes, and the first images of the validation split."
        " Nothing is trained.",
    )
    show.add_argument(
        "--config", required=True, metavar="FILE", help="such as configs/digits.py"
    )
    show.add_argument(
        "--out",
        default="show.png",
        metavar="FILE.png",
        help="the file to write; default: show.png",
    )
    show.add_argument(
        "--examples",
        type=int,
        default=16,
        metavar="N",
        help="how many images of each kind to draw; default: 16",
    )
    show.add_argument(
        "--step",
        type=int,
        default=1,
        metavar="N",
        help="training step whose batch to draw; default: 1, the first",
    )
    return show


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Writes the sheet, and prints its path and a description of the images."""
    if args.examples < 1:
        raise ConfigError(f"--examples is {args.examples}, expected 1 or more")
    if not args.out.endswith(".png"):
        raise ConfigError(f"--out is {args.out!r}, expected a name that ends with .png")
    check_folder_of(args.out)
    config = load_config(args.config, overrides)
    start_jax()
    from cnnjax.report.inputs_sheet import describe_images, draw_inputs
    from cnnjax.report.sheet import as_png
    from cnnjax.report.work import work_shown
    from cnnjax.train.run.experiment import make_experiment
    from cnnjax.train.run.inputs import shown_inputs

    with work_shown():
        experiment = make_experiment(config)
        shown = shown_inputs(config, experiment, args.step, args.examples)
    title = f"What the network of {printable(Path(args.config).name)} sees"
    normalization = experiment.normalization
    sheet = draw_inputs(title, shown, experiment.dataset, normalization)
    write_whole(Path(args.out), as_png(sheet))
    facts = describe_images([each.inputs for each in shown], normalization)
    print(f"{printable(args.out)}\n{facts}")
    return 0
