"""StableHLO files: zip archives of a program from ``jax.export`` and its metadata.

``program.jax`` is the program that ``jax.export`` serialized, for CPUs, CUDA and TPUs
and for any batch size; ``metadata.json`` describes its images and outputs. Neither is
compressed, so an archive never unpacks to more than its own size.
"""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import jax
import jax.export
import numpy as np

from cnnjax.errors import ConfigError, DataError
from cnnjax.inference.export import cpu_convolutions
from cnnjax.inference.export.fresh_process import receive, send
from cnnjax.inference.export.metadata import Metadata, from_texts, read_file
from cnnjax.inference.export.program import Run, image_spec, make_function
from cnnjax.inference.trained_model import TrainedModel
from cnnjax.ops.gradient import substituted

PLATFORMS = ("cpu", "cuda", "tpu")
PROGRAM, METADATA = "program.jax", "metadata.json"
_CUSTOM_CALL = re.compile(r"stablehlo\.custom_call\s*(@[^\s(]+)")
CHILD = Path(__file__).with_name("fresh_process.py")


def prepare(trained: TrainedModel) -> tuple[TrainedModel, str | None]:
    """The model to export: the run's own, in its precision."""
    return trained, None


def build(trained: TrainedModel) -> bytes:
    """The serialized program of a trained model.

    Raises:
        ConfigError: a network that needs more than StableHLO, or that JAX cannot trace
            with a symbolic batch dimension.
    """
    function = jax.jit(make_function(trained))
    export = jax.export.export(function, platforms=PLATFORMS)
    name = trained.description.name
    try:
        with substituted(cpu_convolutions.replace):
            exported = export(image_spec(trained.description))
    except Exception as error:  # JAX raises many kinds of errors
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"JAX cannot export the model {name!r} for a batch of any size: {reason}"
        ) from error
    if found := _custom_calls(exported):
        raise ConfigError(
            f"the model {name!r} calls {found}, which other programs do not have:"
            " expected only StableHLO operations"
        )
    return bytes(exported.serialize())


def pack(graph: bytes, metadata: Metadata) -> bytes:
    """The content of a file with the program and metadata."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(METADATA, json.dumps(metadata.as_values(), indent=2))
        archive.writestr(PROGRAM, graph)
    return content.getvalue()


def read(path: Path) -> tuple[Metadata, Run]:
    """The metadata of a file, and the function that runs it.

    Raises:
        DataError: a file that is damaged, that another program wrote, or that calls
            other code.
    """
    content = _read_archive(path)
    try:
        values = json.loads(content[METADATA])
        texts = {name: json.dumps(value) for name, value in values.items()}
    except (AttributeError, ValueError) as error:
        raise DataError(f"{path}: its metadata are damaged: {error}") from error
    metadata = from_texts(texts, path)
    try:
        exported = jax.export.deserialize(bytearray(content[PROGRAM]))
        calls = _custom_calls(exported)
    except Exception as error:  # flatbuffers and JAX raise many kinds of errors
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"{path}: JAX cannot read its program: {reason}") from error
    if calls:
        raise DataError(f"{path} calls {calls}, which cnnjax never exports: refused")
    program = jax.jit(exported.call)

    def run(images: np.ndarray) -> np.ndarray:
        return np.asarray(program(images)[0])

    return metadata, run


@contextlib.contextmanager
def run_for_proof(path: Path) -> Iterator[Run]:
    """A function that runs the file in a fresh process, with JAX but without cnnjax.

    Raises:
        ConfigError: the process failed.
    """
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    with (
        TemporaryFile() as errors,
        subprocess.Popen(
            [sys.executable, "-P", str(CHILD), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
        ) as child,
    ):
        pipes: Any = child.stdin, child.stdout

        def run(images: np.ndarray) -> np.ndarray:
            try:
                send(images, pipes[0])
                return receive(pipes[1])
            except (OSError, EOFError) as error:
                child.wait()
                errors.seek(0)
                lines = errors.read().decode(errors="replace").splitlines()
                reason = lines[-1] if lines else f"exit status {child.returncode}"
                raise ConfigError(
                    f"a fresh process cannot run the exported program: {reason}"
                ) from error

        try:
            yield run
        finally:
            pipes[0].close()


def runtime() -> str:
    """The name of the runtime, for the certificate."""
    return f"jax {jax.__version__} without cnnjax, on a CPU"


def _read_archive(path: Path) -> dict[str, bytes]:
    """The two members of an archive.

    Raises:
        DataError: another kind of file, or a damaged one.
    """
    try:
        content = io.BytesIO(read_file(path))
        with zipfile.ZipFile(content) as archive:
            members = {info.filename: info for info in archive.infolist()}
            if PROGRAM not in members or METADATA not in members:
                raise DataError(
                    f"{path} was not written by 'cnnjax export': it lacks {PROGRAM} or"
                    f" {METADATA}"
                )
            if any(m.compress_type != zipfile.ZIP_STORED for m in members.values()):
                raise DataError(f"{path} is compressed, unlike what cnnjax exports")
            return {name: archive.read(name) for name in (METADATA, PROGRAM)}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{path} is not an exported program, or is damaged: {error}"
        ) from error


def _custom_calls(exported: Any) -> str | None:
    """The name of a call to code outside of StableHLO, if there is one.

    ``shape_assertion`` is JAX's own check of the batch size, which makes no call.
    """
    names = set(_CUSTOM_CALL.findall(exported.mlir_module())) - {"@shape_assertion"}
    return min(names, default=None)
