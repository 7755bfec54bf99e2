"""Exports a graph in three steps: build it, verify it, keep it."""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cnnjax.data import Split
from cnnjax.errors import ConfigError, DataError
from cnnjax.files import write_whole
from cnnjax.inference.evaluate_on import match_classes, read_examples
from cnnjax.inference.export.metadata import Metadata
from cnnjax.inference.export.program import Run
from cnnjax.inference.export.proof import compare
from cnnjax.inference.trained_model import TrainedModel
from cnnjax.streams import warn
from cnnjax.train.run.evaluate_run import read_split


class Request(NamedTuple):
    """What to export, and how.

    Attributes:
        trained: the model.
        path: the file to write.
        data: a source of images to compare on; ``None`` for the run's own data.
        split: the split to compare on; ``None`` for the test split, or for all examples
            of a source without one.
        verify: whether to compare the file with the checkpoint.
    """

    trained: TrainedModel
    path: Path
    data: str | None
    split: str | None
    verify: bool


class GraphFormat(Protocol):
    """A module that writes and reads one graph format."""

    def prepare(self, trained: TrainedModel) -> tuple[TrainedModel, str | None]:
        """The model to export, and a note if it differs from the run's own."""
        ...

    def build(self, trained: TrainedModel) -> Any:
        """The graph."""
        ...

    def pack(self, graph: Any, metadata: Metadata) -> bytes:
        """The content of the file."""
        ...

    def read(self, path: Path) -> tuple[Metadata, Run]:
        """The metadata of a file, and the function that runs it."""
        ...

    def run_for_proof(self, path: Path) -> AbstractContextManager[Run]:
        """A function that runs the file as another program would."""
        ...

    def runtime(self) -> str:
        """The name of the runtime, for the certificate."""
        ...


def export_graph(form: GraphFormat, request: Request) -> Mapping[str, Any]:
    """Writes the file and ``FILE.json`` beside it, and returns the latter's content.

    Raises:
        ConfigError: a network that the format cannot represent, a file that does not
            agree with the checkpoint, or no data to compare on.
    """
    found = find_examples(request) if request.verify else None
    trained, note = form.prepare(request.trained)
    if note:
        warn(note)
    graph, metadata = form.build(trained), Metadata.of(trained)
    if found is None:
        warn(
            f"{request.path} is exported unchecked (--no-verify): its outputs were not"
            " compared with those of the checkpoint"
        )
    else:
        data, split, examples = found
        draft = request.path.with_name(f".{request.path.name}.{os.getpid()}.tmp")
        try:
            _write(draft, form.pack(graph, metadata), request.path)
            with form.run_for_proof(draft) as run:
                proof = compare(trained, run, examples, data, split, form.runtime())
        finally:
            draft.unlink(missing_ok=True)
        metadata = metadata._replace(certificate=proof._asdict())
    return keep(request.path, form.pack(graph, metadata), metadata)


def keep(path: Path, content: bytes, metadata: Metadata) -> Mapping[str, Any]:
    """Writes a file and ``FILE.json`` beside it, and returns the latter's content.

    Raises:
        OSError: a file that cannot be written; neither is then left behind.
    """
    digest = {"file_sha256": hashlib.sha256(content).hexdigest()}
    values = metadata.as_values() | digest
    write_whole(path, content)
    write_whole(json_path(path), json.dumps(values, indent=2) + "\n")
    return values


def _write(draft: Path, content: bytes, path: Path) -> None:
    """Writes a draft of ``path``.

    Raises:
        OSError: names ``path``.
    """
    try:
        draft.write_bytes(content)
    except OSError as error:
        raise OSError(f"{path} cannot be written ({error.strerror})") from error


def json_path(path: Path) -> Path:
    """``FILE.json``, which holds the metadata and the digest of ``FILE``."""
    return path.with_name(f"{path.name}.json")


def find_examples(request: Request, labeled: bool = False) -> tuple[str, str, Split]:
    """The source, the split and the examples to compare on.

    Args:
        request: names the source and the split.
        labeled: whether labels are needed, as classes of the model.

    Raises:
        ConfigError: they cannot be read.
        DataError: other data that does not fit the model.
    """
    trained, data = request.trained, request.data
    if data is not None:
        raw, split, examples = read_examples(trained, data, request.split)
        if labeled:
            labels = match_classes(examples, raw.class_names, trained)
            examples = Split(examples.images, labels)
        return data, split, examples
    split = request.split or "test"
    try:
        return "the run's own", split, read_split(trained.folder, split)
    except (ConfigError, DataError, OSError) as error:
        raise ConfigError(
            f"the run's {split} split is needed to verify the file, but {error}. Give"
            " other images with --data=SOURCE, such as --data=npz:new.npz, or export"
            " without a check with --no-verify"
        ) from error
