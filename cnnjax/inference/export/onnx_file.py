"""ONNX files: written through jax2onnx, run by onnxruntime."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnnjax import __version__
from cnnjax.errors import ConfigError, DataError
from cnnjax.inference.export.metadata import Metadata, from_texts, read_file
from cnnjax.inference.export.program import (
    INPUT,
    Run,
    image_spec,
    in_float32,
    make_function,
    output_names,
)
from cnnjax.inference.trained_model import TrainedModel

OPSET = 21  # of ONNX 1.16, March 2024
DOMAINS = ("", "ai.onnx")


def prepare(trained: TrainedModel) -> tuple[TrainedModel, str | None]:
    """The model to export, and a note if it differs from the run's own."""
    if trained.description.precision == "float32":
        return trained, None
    return in_float32(trained), (
        f"the run computes in {trained.description.precision}, but the ONNX file"
        " computes in float32, as runtimes expect: its outputs are compared with those"
        " of the same weights in float32"
    )


def build(trained: TrainedModel) -> Any:
    """The graph of a trained model, an ``onnx.ModelProto`` without metadata.

    Raises:
        ConfigError: jax2onnx is missing, or cannot convert the network.
    """
    import onnx

    _check_installed()
    from jax2onnx import to_onnx

    from cnnjax.inference.export.onnx_nodes import draw, fold_constants
    from cnnjax.ops.gradient import substituted

    function, model = make_function(trained), trained.description
    spec = image_spec(model)

    def drawn(images):
        with substituted(draw):
            closed = jax.make_jaxpr(function)(spec)
        return fold_constants(closed, images)

    try:
        with _quiet("jax2onnx", "onnx_ir"):
            proto: Any = to_onnx(
                drawn,
                [spec],
                model_name=model.name,
                opset=OPSET,
                input_names=[INPUT],
                output_names=list(output_names(model)),
            )
        _drop_unused(proto.graph)
        onnx.checker.check_model(proto, full_check=True)
    except Exception as error:  # jax2onnx raises many kinds of errors
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ConfigError(
            f"jax2onnx {version('jax2onnx')} cannot convert the model {model.name!r} to"
            f" ONNX: {reason}; try --format=stablehlo"
        ) from error
    proto.producer_name, proto.producer_version = "cnnjax", __version__
    return proto


def pack(graph: Any, metadata: Metadata) -> bytes:
    """The content of a file with the graph and metadata."""
    import onnx

    onnx.helper.set_model_props(graph, metadata.as_texts())
    return graph.SerializeToString()


def read(path: Path) -> tuple[Metadata, Run]:
    """The metadata of a file, and the function that runs it.

    Raises:
        ConfigError: onnxruntime is missing.
        DataError: a file that is damaged, that another program wrote, or that uses
            anything but standard operators.
    """
    _check_installed()
    import onnx
    import onnxruntime

    content = read_file(path)
    try:
        proto = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's errors have no common class
        raise DataError(f"{path} is not an ONNX file, or is damaged") from error
    metadata = from_texts({p.key: p.value for p in proto.metadata_props}, path)
    _check_plain(proto, path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    try:
        session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors have no common class
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path}: onnxruntime cannot load it: {reason}") from error
    wanted = INPUT, *output_names(metadata.model)
    found = (*session.get_inputs(), *session.get_outputs())
    if tuple(value.name for value in found) != wanted:
        names = ", ".join(value.name for value in found)
        raise DataError(
            f"{path} has the inputs and outputs {names}: expected {', '.join(wanted)};"
            " export it again"
        )

    def run(images: np.ndarray) -> np.ndarray:
        return np.asarray(session.run([wanted[1]], {INPUT: images})[0])

    return metadata, run


@contextlib.contextmanager
def run_for_proof(path: Path) -> Iterator[Run]:
    """A function that runs the file as any other program would."""
    yield read(path)[1]


def runtime() -> str:
    """The name of the runtime, for the certificate."""
    return f"onnxruntime {version('onnxruntime')} on a CPU"


def _check_installed() -> None:
    try:
        import jax2onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"ONNX needs the package {error.name}: install cnnjax with the extra onnx,"
            " as in pip install 'cnnjax[onnx]'"
        ) from error


@contextlib.contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Keeps libraries from warning about plug-ins and types that nothing here uses."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _drop_unused(graph: Any) -> None:
    """Removes the constants that no node uses."""
    used = {name for node in graph.node for name in node.input}
    used |= {output.name for output in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _check_plain(proto: Any, path: Path) -> None:
    """Refuses custom operators, and arrays in other files.

    Raises:
        DataError: names what is refused.
    """
    import onnx

    if proto.functions:
        raise DataError(f"{path} holds functions, which cnnjax never exports: refused")
    for node in proto.graph.node:
        kinds = {attribute.type for attribute in node.attribute}
        nested = {onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS}
        if node.domain not in DOMAINS or kinds & nested:
            raise DataError(
                f"{path} holds the operator {node.domain or 'onnx'}.{node.op_type},"
                " which cnnjax never exports: refused"
            )
    tensors = [*proto.graph.initializer]
    tensors += [a.t for node in proto.graph.node for a in node.attribute]
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in tensors):
        raise DataError(f"{path} keeps arrays in other files: refused")
