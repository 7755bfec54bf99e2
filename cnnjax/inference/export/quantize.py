"""ONNX files with 8-bit integers, written by onnxruntime's quantization tools.

The file is not equal to the checkpoint, so it is kept for its accuracy: on the split to
compare on, it may be at most ``max_loss`` below that of the checkpoint.
"""

import logging
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from cnnjax import progress
from cnnjax.data.tasks import REGRESSION
from cnnjax.errors import ConfigError, DataError
from cnnjax.inference.export import onnx_file
from cnnjax.inference.export.graph import Request, find_examples, keep
from cnnjax.inference.export.metadata import Metadata
from cnnjax.inference.export.program import INPUT, as_taken
from cnnjax.inference.export.quantized_proof import Quantization, measure
from cnnjax.inference.trained_model import TrainedModel
from cnnjax.streams import warn
from cnnjax.train.run.evaluate_run import read_split

CALIBRATED_AT_A_TIME = 16

_HEADS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def export_quantized(request: Request, how: Quantization) -> Mapping[str, Any]:
    """Writes a quantized ONNX file and ``FILE.json``; returns the latter's content.

    Raises:
        ConfigError: a network that cannot be quantized, no labeled images, or a file
            that is less accurate than allowed.
    """
    if request.trained.description.task == REGRESSION:
        raise ConfigError(
            "--quantize checks the accuracy, which regression does not have; export"
            " without --quantize"
        )
    if not request.verify:
        raise ConfigError(
            "--no-verify is given with --quantize, but a quantized file is kept only"
            " if its measured accuracy is high enough; leave one of them out"
        )
    data, split, examples = find_examples(request, labeled=True)
    trained, note = onnx_file.prepare(request.trained)
    if note:
        warn(note)
    images = _calibration_images(trained, how) if how.method == "static" else None
    plain, metadata = onnx_file.build(trained), Metadata.of(trained)
    graph = quantize(plain, images)
    with TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.onnx"
        draft.write_bytes(onnx_file.pack(graph, metadata))
        sizes = len(onnx_file.pack(plain, metadata)), draft.stat().st_size
        with onnx_file.run_for_proof(draft) as run:
            proof = measure(trained, run, examples, (data, split), sizes, how)
    lost = proof.accuracy - proof.quantized_accuracy
    if lost > how.max_loss:
        raise ConfigError(
            f"the quantized file has an accuracy of {proof.quantized_accuracy:.2%} on"
            f" {proof.examples:,} examples ({split}), and the checkpoint"
            f" {proof.accuracy:.2%}: expected a drop of at most {how.max_loss:.2%}"
            " (--max-loss). Nothing was kept. Try the other method of --quantize, more"
            " --calibration-examples, or a larger --max-loss"
        )
    certificate = metadata._replace(certificate=proof._asdict())
    return keep(request.path, onnx_file.pack(graph, certificate), certificate)


def quantize(graph: Any, images: np.ndarray | None) -> Any:
    """The graph with 8-bit integers.

    The nodes after the last layer with weights, such as softmax, stay in float32.

    Args:
        graph: an ``onnx.ModelProto``.
        images: for calibration; ``None`` for dynamic quantization.

    Raises:
        ConfigError: a graph that onnxruntime cannot quantize.
    """
    import onnx
    from onnxruntime import quantization as tools

    with TemporaryDirectory() as folder, _quiet():
        plain, path = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        try:
            folded = _fold(graph, plain)
            onnx.save(folded, plain)
            names = _after_the_last_layer(folded.graph)
            if images is None:
                tools.quantize_dynamic(
                    plain,
                    path,
                    per_channel=True,
                    weight_type=tools.QuantType.QInt8,
                    nodes_to_exclude=names,
                )
            else:
                tools.quantize_static(
                    plain,
                    path,
                    _reader(images),
                    quant_format=tools.QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=tools.QuantType.QUInt8,
                    weight_type=tools.QuantType.QInt8,
                    nodes_to_exclude=names,
                    extra_options={
                        "OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]
                    },
                )
            quantized = onnx.load(path)
        except Exception as error:  # the tools raise many kinds of errors
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ConfigError(
                f"onnxruntime {version('onnxruntime')} cannot quantize the network:"
                f" {reason}; export without --quantize"
            ) from error
    quantized.producer_name = graph.producer_name
    quantized.producer_version = graph.producer_version
    return quantized


def _calibration_images(trained: TrainedModel, how: Quantization) -> np.ndarray:
    """Images spread evenly over the run's training split.

    Raises:
        ConfigError: they cannot be read.
    """
    try:
        images = read_split(trained.folder, "train").images
    except (ConfigError, DataError, OSError) as error:
        raise ConfigError(
            "static quantization is calibrated on training images of the run, but"
            f" {error}. Try --quantize=dynamic"
        ) from error
    count = min(how.calibration_examples, len(images))
    chosen = np.linspace(0, len(images) - 1, count).astype(int)
    return as_taken(np.asarray(images[chosen]), trained.description)


def _reader(images: np.ndarray) -> Any:
    """The images in batches, as onnxruntime's calibration reads them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.start = 0

        def get_next(self):
            progress.tell("calibrating", self.start, len(images))
            batch = images[self.start : self.start + CALIBRATED_AT_A_TIME]
            self.start += len(batch)
            return {INPUT: batch} if len(batch) else None

    return Reader()


def _fold(graph: Any, path: Path) -> Any:
    """The graph with each batch normalization inside the convolution before it.

    Args:
        graph: an ``onnx.ModelProto``.
        path: a file to write.
    """
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_BASIC
    options.optimized_model_filepath = os.fspath(path)
    content = graph.SerializeToString()
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    folded = onnx.load(path)
    # The tools expect one axis, but onnxruntime fuses a bias (1, n) as it is.
    gemms = [node for node in folded.graph.node if node.op_type == "Gemm"]
    biases = {name for node in gemms for name in node.input[2:]}
    for tensor in folded.graph.initializer:
        if tensor.name in biases and len(tensor.dims) == 2 and tensor.dims[0] == 1:
            del tensor.dims[0]
    kept = [each for each in folded.graph.value_info if each.name not in biases]
    del folded.graph.value_info[:]
    folded.graph.value_info.extend(kept)
    return folded


def _after_the_last_layer(graph: Any) -> list[str]:
    """The names of the nodes after the last one with weights; unnamed nodes get one."""
    heads = [at for at, node in enumerate(graph.node) if node.op_type in _HEADS]
    return [node.name for node in graph.node[max(heads, default=-1) + 1 :]]


class _quiet:  # noqa: N801
    """Keeps the tools from logging advice that does not apply."""

    def __enter__(self):
        self.before = logging.root.manager.disable
        logging.disable(logging.ERROR)

    def __exit__(self, *_):
        logging.disable(self.before)
