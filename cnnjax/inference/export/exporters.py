"""The formats that a trained model is exported to."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cnnjax.errors import ConfigError, unknown_name
from cnnjax.files import check_folder_of
from cnnjax.inference.export import onnx_file, stablehlo_file
from cnnjax.inference.export.graph import GraphFormat, Request, export_graph
from cnnjax.inference.export.quantize import export_quantized
from cnnjax.inference.export.quantized_proof import Quantization
from cnnjax.inference.export.weights_file import export_weights
from cnnjax.inference.load import load

GRAPHS: Mapping[str, GraphFormat] = {"onnx": onnx_file, "stablehlo": stablehlo_file}
"""The formats of files that ``cnnjax predict --model`` runs."""

EXPORTERS: Mapping[str, Callable[[Request], Mapping[str, Any]]] = {
    **{name: partial(export_graph, form) for name, form in GRAPHS.items()},
    **{name: partial(export_weights, name) for name in ("safetensors", "torch")},
}
"""All formats: each function writes a file and returns facts about it."""

ENDINGS = {"torch": "pth"}
"""The file extension of a format, if it is not the name of the format."""


def export_run(
    workdir: str,
    form: str,
    output: str | None = None,
    *,
    step: str | int | None = None,
    data: str | None = None,
    split: str | None = None,
    verify: bool = True,
    quantize: Quantization | None = None,
) -> tuple[Path, Mapping[str, Any]]:
    """Exports the trained model of a run, and verifies the file.

    Args:
        workdir: the working directory of the run.
        form: a key of ``EXPORTERS``.
        output: the file; by default ``model.FORMAT`` in the working directory.
        step: a step number, "best" or "last"; by default the checkpoint that training
            ended with.
        data: a source of images to compare on, instead of the run's own data.
        split: the split to compare on; by default the test split.
        verify: whether to compare the file with the checkpoint.
        quantize: for an ONNX file with 8-bit integers, by default
            ``model.int8.onnx``, which is kept if it is accurate enough.

    Returns:
        The path of the file, and facts about it, such as its ``certificate``.

    Raises:
        ConfigError: no such format, no trained model, or a file that does not agree
            with the checkpoint.

    Example::

        >>> from cnnjax.inference.export import export_run
        >>> path, facts = export_run("runs/digits", "onnx")  # doctest: +SKIP
        >>> facts["certificate"]["same_predictions"]  # doctest: +SKIP
        359
    """
    if form not in EXPORTERS:
        raise ConfigError(str(unknown_name("format", form, EXPORTERS)))
    if quantize is not None:
        quantize.check()
        if form != "onnx":
            raise ConfigError(
                f"--quantize is given, but the format is {form!r}: only --format=onnx"
                " can be quantized"
            )
    ending = ENDINGS.get(form, form)
    name = f"model.{ending}" if quantize is None else f"model.int8.{ending}"
    path = Path(workdir) / name if output is None else Path(output)
    if path.suffix != f".{ending}":
        raise ConfigError(
            f"--output is {output!r}, expected a name that ends with .{ending}"
        )
    if output is not None:
        check_folder_of(path)
    trained = load(workdir, step)
    check_folder_of(path)
    request = Request(trained, path, data, split, verify)
    if quantize is not None:
        return path, export_quantized(request, quantize)
    return path, EXPORTERS[form](request)
