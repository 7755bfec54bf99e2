"""The function in an exported file: raw images in, logits and probabilities out."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from cnnjax import ops
from cnnjax.data import normalize
from cnnjax.data.tasks import REGRESSION
from cnnjax.errors import DataError
from cnnjax.inference.trained_model import TrainedModel
from cnnjax.train.run.model_file import ModelFile
from cnnjax.train.step.state import named_leaves

INPUT = "images"

Run = Callable[[np.ndarray], np.ndarray]
"""Runs an exported file: maps raw images ``(n, *image_shape)`` to its first output."""


def output_names(model: ModelFile) -> tuple[str, ...]:
    """The names of the function's outputs; a regression has only one."""
    return ("values",) if model.task == REGRESSION else ("logits", "probabilities")


def make_function(trained: TrainedModel) -> Callable[[Any], tuple[Any, ...]]:
    """The function of raw images to export, with plain XLA operations.

    It uses the backend ``"xla"``, because a file cannot contain the native CPU kernels.
    """
    model = trained.description

    def outputs(images):
        with ops.backend("xla"), ops.gradients("autodiff"):
            x = normalize(images, model.normalization)
            logits: Any = trained.model.apply(trained.variables, x, train=False)
            logits = logits.astype(np.float32)
            if model.task == REGRESSION:
                return (logits,)
            shares = ops.sigmoid if model.is_sigmoid else ops.softmax
            return logits, shares(logits)

    return outputs


def image_spec(model: ModelFile) -> jax.ShapeDtypeStruct:
    """The shape and dtype of images, with a symbolic batch dimension."""
    (batch,) = jax.export.symbolic_shape("batch")
    return jax.ShapeDtypeStruct((batch, *model.image_shape), model.image_dtype)


def as_taken(images: np.ndarray, model: ModelFile) -> np.ndarray:
    """Converts images to the dtype that the file takes, that of the training images.

    Raises:
        DataError: fractions, or numbers out of range, for a file that takes uint8.
    """
    taken = images.astype(model.image_dtype)
    if not np.array_equal(taken, images):
        raise DataError(
            f"the images are {images.dtype} from {images.min():g} to {images.max():g},"
            " but the file takes uint8: give whole numbers from 0 to 255"
        )
    return taken


def in_float32(trained: TrainedModel) -> TrainedModel:
    """The trained model with the same weights, computing in float32."""
    if trained.description.precision == "float32":
        return trained
    config = trained.config.copy_and_resolve_references()
    config.precision = "float32"
    return replace(
        trained,
        model=trained.model.clone(dtype=None),  # type: ignore[call-arg]
        description=trained.description._replace(precision="float32"),
        config=config,
    )


def digest(variables: Any) -> str:
    """The SHA-256 of all arrays with their names, shapes and dtypes."""
    total = hashlib.sha256()
    for name, leaf in sorted(named_leaves(variables), key=lambda pair: pair[0]):
        array = np.ascontiguousarray(leaf)
        total.update(f"{name} {array.dtype} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()
