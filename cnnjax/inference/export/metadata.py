"""The metadata in an exported file, as one JSON text per name."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cnnjax.errors import ConfigError, DataError, show
from cnnjax.files import open_regular
from cnnjax.inference.export.program import digest, output_names
from cnnjax.inference.trained_model import TrainedModel
from cnnjax.json_file import parse_json
from cnnjax.train.run import model_file
from cnnjax.train.run.model_file import ModelFile


class Metadata(NamedTuple):
    """The metadata in an exported file.

    Attributes:
        model: the content of ``model.json``: classes, image shape, normalization,
            task, how image files become images (``decoding``), and more.
        step: the step of the checkpoint.
        weights_sha256: the digest of its arrays, see ``program.digest``.
        certificate: the result of the comparison, see ``proof.Certificate``; ``None``
            if nothing was compared.
    """

    model: ModelFile
    step: int
    weights_sha256: str
    certificate: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, trained: TrainedModel) -> "Metadata":
        """The metadata for a trained model, without a certificate."""
        return cls(trained.description, trained.step, digest(trained.variables))

    def as_values(self) -> dict[str, Any]:
        """The metadata as values for JSON."""
        return model_file.as_values(self.model) | {
            "outputs": output_names(self.model),
            "step": self.step,
            "weights_sha256": self.weights_sha256,
            "certificate": self.certificate,
        }

    def as_texts(self) -> dict[str, str]:
        """The values as JSON texts, for a format that holds pairs of texts."""
        return {name: json.dumps(value) for name, value in self.as_values().items()}


def read_file(path: Path) -> bytes:
    """The content of an exported file.

    Raises:
        DataError: a file that is missing, unreadable, or not a regular file.
    """
    try:
        with open_regular(path) as file:
            return file.read()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def from_texts(texts: Mapping[str, str], path: Path) -> Metadata:
    """The metadata that ``as_texts`` wrote into a file.

    Raises:
        DataError: a file that another program wrote, or a damaged one.
    """
    if "cnnjax_version" not in texts:
        raise DataError(
            f"{path} was not written by 'cnnjax export': it has no metadata that"
            " describe its images and its outputs"
        )
    try:
        values = {name: parse_json(text) for name, text in texts.items()}
        model = model_file.parse(values)
        step, sha256 = values["step"], values["weights_sha256"]
        if type(step) is not int or not isinstance(sha256, str):
            raise ValueError(f"step is {show(step)} and weights_sha256 {show(sha256)}")
        return Metadata(model, step, sha256, values["certificate"])
    except KeyError as error:
        raise DataError(f"{path} is damaged: its metadata lack {error}") from error
    except (ConfigError, DataError, TypeError, ValueError) as error:
        raise DataError(f"{path}: its metadata are damaged: {error}") from error
