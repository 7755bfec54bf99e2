"""``cnnjax export``: writes a trained model as a file for other programs."""

import argparse
from collections.abc import Mapping
from typing import Any

from cnnjax.cli.saved_step import add_step, parse_step
from cnnjax.cli.start_jax import start_jax
from cnnjax.errors import ConfigError


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
    export.add_argument(
        "--quantize",
        choices=("dynamic", "static"),
        help="write an ONNX file with 8-bit integers (model.int8.onnx); static (for"
        " convolutional networks): calibrated on training images; dynamic: ranges are"
        " measured at each call",
    )
    export.add_argument(
        "--calibration-examples",
        type=int,
        metavar="N",
        help="training images that --quantize=static is calibrated on; default: 200",
    )
    export.add_argument(
        "--max-loss",
        type=float,
        metavar="FRACTION",
        help="largest drop in accuracy that --quantize allows; default: 0.01, one"
        " percentage point",
    )
    return export


def _quantization(args: argparse.Namespace) -> Any:
    """What the options say about quantization.

    Raises:
        ConfigError: an option without ``--quantize``.
    """
    from cnnjax.inference.export import Quantization

    options = {
        "calibration_examples": args.calibration_examples,
        "max_loss": args.max_loss,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if args.quantize is not None:
        return Quantization(args.quantize, **given)
    if given:
        option = "--" + next(iter(given)).replace("_", "-")
        raise ConfigError(f"{option} is given without --quantize=static or dynamic")
    return None


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
            quantize=_quantization(args),
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
    if "quantization" in proof:
        print(
            f"accuracy: {proof['quantized_accuracy']:.2%} (checkpoint:"
            f" {proof['accuracy']:.2%}); {proof['quantized_bytes'] / 1e6:.2f} MB"
            f" (without quantization: {proof['float_bytes'] / 1e6:.2f} MB)"
        )
    if proof["same_predictions"] is not None:
        print(f"same predictions: {proof['same_predictions']:,}")
    print(
        f"largest difference in outputs: {proof['largest_difference']:.2g}"
        f" ({proof['largest_relative_difference']:.2g} of the largest output)"
    )
    return 0
