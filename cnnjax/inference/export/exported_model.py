"""An exported file as a predictor: images in, classes and probabilities out."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnjax.errors import ConfigError, DataError
from cnnjax.files import expand_path
from cnnjax.inference.export.exporters import GRAPHS
from cnnjax.inference.export.graph import json_path
from cnnjax.inference.export.metadata import Metadata, read_file
from cnnjax.inference.export.program import Run, as_taken
from cnnjax.inference.images import as_images
from cnnjax.inference.predictions import make_predictions
from cnnjax.json_file import read_json
from cnnjax.train.run.model_file import ModelFile


@dataclass(frozen=True, eq=False)
class ExportedModel:
    """An exported file, ready to predict.

    Attributes:
        path: of the file.
        metadata: those in the file.
        run: maps raw images to the first output.
    """

    path: Path
    metadata: Metadata
    run: Run

    @property
    def description(self) -> ModelFile:
        """The content of the run's ``model.json``."""
        return self.metadata.model

    def predict(self, images: Any, k: int = 5) -> list[Any]:
        """Predictions for images, in the form of ``TrainedModel.predict``.

        Args:
            images: an array with a leading axis, or a sequence of arrays or paths.
            k: how many classes ``top`` holds.

        Raises:
            DataError: images that the file cannot take.
        """
        batch, _ = as_images(images, self.description)
        logits = self.run(as_taken(batch, self.description))
        return make_predictions(logits, self.description, k)


def open_exported(file: str) -> ExportedModel:
    """Opens a file that ``cnnjax export`` wrote.

    Raises:
        ConfigError: a file of another kind, or without what is needed to run it.
        DataError: a damaged file, or one that another program wrote.
    """
    path = expand_path(file, "--model")
    form = GRAPHS.get(path.suffix.removeprefix("."))
    if form is None:
        endings = " or ".join(f".{name}" for name in GRAPHS)
        raise ConfigError(
            f"--model is {file!r}, expected a name that ends with {endings}"
        )
    _check_digest(path)
    return ExportedModel(path, *form.read(path))


def _check_digest(path: Path) -> None:
    """Compares the file's digest with that in ``FILE.json`` beside it, if it exists.

    Raises:
        DataError: the file was changed since it was exported.
    """
    try:
        expected = read_json(json_path(path), follow_links=True)["file_sha256"]
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{json_path(path)} is damaged: {error}; remove it") from error
    if hashlib.sha256(read_file(path)).hexdigest() != expected:
        raise DataError(
            f"{path} is not the file that {json_path(path).name} describes: it is"
            " damaged or was changed since it was exported; export it again"
        )
