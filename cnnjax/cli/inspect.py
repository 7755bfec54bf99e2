"""``cnnjax inspect``: looks inside a trained network."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnjax.cli.saved_step import add_step, parse_step
from cnnjax.cli.start_jax import start_jax
from cnnjax.errors import ConfigError
from cnnjax.files import check_folder_of


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    inspect = commands.add_parser(
        "inspect",
        help="look inside a trained network: layers, importance maps, wrong labels",
        description="Print a table of what each layer of a trained network outputs for"
        " some images, and draw which parts of each image its prediction depends on,"
        " and the feature maps of layers. With --labels, list the training examples"
        " whose labels are likely wrong.",
    )
    inspect.add_argument(
        "--workdir", required=True, metavar="DIR", help="working directory of the run"
    )
    inspect.add_argument(
        "inputs",
        nargs="*",
        metavar="IMAGE",
        help="image files, folders, patterns such as 'new/*.png', or an .npz file with"
        " an array 'images'; default: the first test examples",
    )
    inspect.add_argument(
        "--examples",
        type=int,
        metavar="N",
        help="how many test examples to use if no IMAGE is given; default: 8",
    )
    inspect.add_argument(
        "--class",
        dest="class_name",
        metavar="NAME",
        help="class or output to explain; default: the predicted class, or for"
        " regression the first output",
    )
    inspect.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="NAME",
        help="layer for Grad-CAM and feature maps, such as Conv_1; may be repeated;"
        " default: the last one, and for feature maps also the first",
    )
    inspect.add_argument(
        "--integration-steps",
        type=int,
        metavar="N",
        help="steps from black to the image, for integrated gradients; default: 32",
    )
    inspect.add_argument(
        "--labels",
        action="store_true",
        help="rank the training examples, with the most likely mislabeled ones first",
    )
    inspect.add_argument(
        "--rank-by",
        choices=("loss", "gradient"),
        help="what to rank by: the loss of an example, or the norm of its gradient;"
        " default: loss",
    )
    inspect.add_argument(
        "--out",
        metavar="DIR",
        help="folder to write to; default: inspect in the working directory",
    )
    add_step(inspect)
    return inspect


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Writes the tables and the pictures, and prints what they say."""
    step = parse_step(args.step)
    _check(args)
    folder = Path(args.out or Path(args.workdir) / "inspect")
    if args.out and not folder.is_dir():
        check_folder_of(folder)
    start_jax()
    from cnnjax.inference import load
    from cnnjax.inference.explain import STEPS
    from cnnjax.inference.inspect_files import inspect_examples
    from cnnjax.inference.label_files import inspect_labels
    from cnnjax.report.work import work_shown

    with work_shown():
        trained = load(args.workdir, step)
        if args.labels:
            lines = inspect_labels(trained, folder, args.rank_by or "loss")
        else:
            lines = inspect_examples(
                trained,
                folder,
                inputs=args.inputs,
                count=args.examples or 8,
                class_name=args.class_name,
                layers=args.layer,
                steps=args.integration_steps or STEPS,
            )
    print("\n".join(lines))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuses arguments that contradict each other."""
    for name in ("examples", "integration_steps"):
        value = getattr(args, name)
        if value is not None and value < 1:
            word = name.replace("_", "-")
            raise ConfigError(f"--{word} is {value}, expected 1 or more")
    if args.examples is not None and args.inputs:
        raise ConfigError(
            f"--examples is {args.examples}, which counts test examples, but images are"
            f" given, too ({args.inputs[0]}); leave one of them out"
        )
    if args.rank_by and not args.labels:
        raise ConfigError(
            f"--rank-by is {args.rank_by}, but nothing is ranked without --labels"
        )
    others = {
        "IMAGE": args.inputs,
        "--examples": args.examples,
        "--class": args.class_name,
        "--layer": args.layer,
        "--integration-steps": args.integration_steps,
    }
    if args.labels and (given := [name for name, value in others.items() if value]):
        raise ConfigError(
            f"--labels ranks all examples of the training split, but {given[0]} is"
            " given, too; leave one of them out"
        )
