"""``cnnjax export``: writes a trained model as a file for other programs."""

import argparse
from collections.abc import Mapping
from typing import Any

from cnnjax.cli.saved_step import add_step, parse_step
from cnnjax.cli.start_jax import start_jax


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    export = commands.add_parser(
        "export",
        help="write a trained model as ONNX or StableHLO, or only its weights",
        description="Write the trained model of a run as one file for other programs:"
        " raw images in, logits and probabilities out. The file is kept only if its"
        " outputs match those of the checkpoint on the whole test split. With"
        " safetensors or torch, write only the weights, with torchvision's names if"
        " torchvision has the network.",
    )
    export.add_argument(
        "--workdir", required=True, metavar="DIR", help="working directory of the run"
    )
    export.add_argument(
        "--format", required=True, help="onnx, stablehlo, safetensors or torch"
    )
    export.add_argument(
        "--output",
        metavar="FILE",
        help="file to write; default: model.FORMAT (model.pth for torch) in the working"
        " directory",
    )
    add_step(export)
    export.add_argument(
        "--data",
        metavar="SOURCE",
        help="compare on other data, such as npz:new.npz; default: the run's own data",
    )
    export.add_argument(
        "--split",
        choices=("train", "validation", "test"),
        help="split to compare on; default: test, or all examples of other data without"
        " a test split",
    )
    export.add_argument(
        "--no-verify",
        action="store_true",
        help="do not compare outputs; the file says that it is unchecked",
    )
    return export


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Exports, and prints what was compared."""
    step = parse_step(args.step)
    start_jax()
    from cnnjax.inference.export import export_run
    from cnnjax.report.work import work_shown

    with work_shown():
        path, facts = export_run(
            args.workdir,
            args.format,
            args.output,
            step=step,
            data=args.data,
            split=args.split,
            verify=not args.no_verify,
        )
    if "arrays" in facts:
        how = "read back bit for bit" if facts["verified"] else "unchecked"
        print(f"{path}: {facts['arrays']} arrays of step {facts['step']}, {how}")
        return 0
    proof = facts["certificate"]
    if proof is None:
        print(f"{path}: unchecked")
        return 0
    print(
        f"{path}: compared with step {facts['step']} on {proof['examples']:,} examples"
        f" ({proof['data']}, {proof['split']}) by {proof['runtime']}"
    )
    if proof["same_predictions"] is not None:
        print(f"same predictions: {proof['same_predictions']:,}")
    print(
        f"largest difference of outputs: {proof['largest_difference']:.2g}"
        f" ({proof['largest_relative_difference']:.2g} of the largest)"
    )
    return 0
