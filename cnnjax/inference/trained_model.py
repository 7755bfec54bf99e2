"""A trained model: images in, classes and probabilities out."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn

from cnnjax.config import Config
from cnnjax.data import normalize
from cnnjax.data.tasks import MULTILABEL, REGRESSION
from cnnjax.errors import ConfigError, unknown_name
from cnnjax.inference.images import as_images
from cnnjax.metrics import probabilities
from cnnjax.train.machine.numerics import configured
from cnnjax.train.run.model_file import ModelFile

SIZES = (1, 8, 64, 256)
"""Batches are padded to one of these, so that only these are ever compiled."""

Images = Any
"""An array, a path of an image file, or a sequence of either."""


class Prediction(NamedTuple):
    """What the model says about one image.

    Attributes:
        label: the number of the most probable class.
        name: of that class; its number as text where the data had no names.
        probability: of that class.
        top: the most probable classes with their probabilities, best first.
    """

    label: int
    name: str
    probability: float
    top: tuple[tuple[str, float], ...]


class ClassSet(NamedTuple):
    """The prediction of a multi-label model for one image.

    Attributes:
        labels: the numbers of the classes with a probability above 1/2.
        names: the names of these classes.
        top: the most probable classes with their probabilities, best first.
    """

    labels: tuple[int, ...]
    names: tuple[str, ...]
    top: tuple[tuple[str, float], ...]


class Estimate(NamedTuple):
    """The prediction of a regression model for one image.

    Attributes:
        values: the predicted numbers by name, in the unit of the labels.
    """

    values: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A network with its trained variables, ready to predict.

    Images are arrays in the range of the training data (0 to 255 for uint8), of shape
    ``image_shape`` or with a leading axis for several; paths of image files; or a
    sequence of these. They are normalized as in training.

    Attributes:
        model: the network, a Flax module, for ``model.apply(variables, x,
            train=False)`` with normalized images ``x``.
        variables: its trained variables.
        description: the content of ``model.json``.
        step: after which the variables were saved.
        config: the backend and the precision of the run.
        folder: its working directory.
    """

    model: nn.Module
    variables: Any
    description: ModelFile
    step: int
    config: Config
    folder: Path

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name per class or output; numbers as text where the data had none."""
        return self.description.names

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape ``(*spatial, channels)`` of one image."""
        return self.description.image_shape

    def logits(self, images: Images) -> np.ndarray:
        """The outputs of the network; of a regression, the predicted numbers.

        Args:
            images: see the class.

        Returns:
            ``(n, num_classes)`` in float32, or ``(num_classes,)`` for one image.

        Raises:
            DataError: images of another shape, no images, or a file that cannot be
                read.
        """
        return self._apply(images, self._forward)

    def predict_proba(self, images: Images) -> np.ndarray:
        """The probability of each class.

        With the loss ``"sigmoid"``, each class has a probability of its own; otherwise
        they add up to 1.

        Args:
            images: see the class.

        Returns:
            ``(n, num_classes)``, or ``(num_classes,)`` for one image.

        Raises:
            ConfigError: a regression, which has no classes.
            DataError: see ``logits``.
        """
        if self.description.task == REGRESSION:
            raise ConfigError(
                "the model predicts numbers, which have no probabilities; use predict,"
                " or logits for an array"
            )
        return probabilities(self.logits(images), self.description.is_sigmoid)

    def predict(self, images: Images, k: int = 5) -> Any:
        """The most probable classes, or the numbers of a regression.

        Args:
            images: see the class.
            k: how many classes ``top`` holds; all of them if there are fewer.

        Returns:
            A list with one ``Prediction`` per image, or one ``Prediction`` for one
            image. Where an image can have several classes, it is a ``ClassSet``, and
            for a regression an ``Estimate``.

        Raises:
            DataError: see ``logits``.
        """
        if type(k) is not int or k < 1:
            raise ConfigError(f"k is {k!r}, expected a whole number above 0")
        logits = self.logits(images)
        found = make_predictions(np.atleast_2d(logits), self.description, k)
        return found[0] if logits.ndim == 1 else found

    def features(self, images: Images, layer: str) -> np.ndarray:
        """The output of one layer, such as an embedding.

        Args:
            images: see the class.
            layer: its name, such as ``"Dense_0"`` or ``"Block_1/Conv_0"``.

        Returns:
            ``(n, ...)``, or without the first axis for one image.

        Raises:
            ConfigError: no such layer.
            DataError: see ``logits``.
        """
        return self._apply(images, self._layer(layer))

    def _apply(self, images: Images, function: Callable[..., Any]) -> np.ndarray:
        """A compiled function of the images, batch by batch."""
        batch, is_one = as_images(images, self.description)
        outputs = [
            np.asarray(function(self.variables, part))[:count]
            for part, count in _parts(batch)
        ]
        whole = np.concatenate(outputs)
        return whole[0] if is_one else whole

    @functools.cached_property
    def _forward(self) -> Callable[..., Any]:
        """Logits in float32 of images as they are in a file."""
        normalization = self.description.normalization

        @jax.jit
        def forward(variables, images):
            with configured(self.config):
                x = normalize(images, normalization)
                logits: Any = self.model.apply(variables, x, train=False)
            return logits.astype(np.float32)

        return forward

    def _layers(self, variables: Any, images: Any) -> Mapping[str, Any]:
        """The output of every layer, by its name."""
        with configured(self.config):
            x = normalize(images, self.description.normalization)
            _, kept = self.model.apply(
                variables, x, train=False, capture_intermediates=True, mutable=True
            )
        paths, _ = jax.tree_util.tree_flatten_with_path(kept["intermediates"])
        outputs: dict[str, Any] = {}
        for path, value in paths:
            *names, _ = [str(getattr(key, "key", key)) for key in path[:-1]]
            outputs.setdefault("/".join(names), value)
        outputs.pop("", None)  # the network itself
        return outputs

    @functools.cached_property
    def _compiled_layers(self) -> dict[str, Callable[..., Any]]:
        return {}

    def _layer(self, name: str) -> Callable[..., Any]:
        """The compiled function that gives one layer's output.

        Raises:
            ConfigError: no such layer.
        """
        if name not in self._compiled_layers:
            image = jax.ShapeDtypeStruct((1, *self.image_shape), np.float32)
            known = jax.eval_shape(self._layers, self.variables, image)
            if name not in known:
                raise ConfigError(str(unknown_name("layer", name, known)))
            self._compiled_layers[name] = jax.jit(
                lambda variables, images: self._layers(variables, images)[name]
            )
        return self._compiled_layers[name]


def make_predictions(logits: np.ndarray, model: ModelFile, k: int) -> list[Any]:
    """Predictions from the outputs ``(n, num_classes)`` of a model, one per image.

    Args:
        logits: float32.
        model: what the outputs mean.
        k: how many classes ``top`` holds.
    """
    names = model.names
    if model.task == REGRESSION:
        rows = logits.tolist()
        return [Estimate(dict(zip(names, row, strict=True))) for row in rows]
    shares = probabilities(logits, model.is_sigmoid)
    order = np.argsort(-shares, axis=-1, kind="stable")[:, :k]
    values = np.take_along_axis(shares, order, axis=-1)
    predictions: list[Any] = []
    for labels, row in zip(order.tolist(), values.tolist(), strict=True):
        top = tuple(zip((names[label] for label in labels), row, strict=True))
        predictions.append(Prediction(labels[0], *top[0], top))
    if model.task != MULTILABEL:
        return predictions
    for number, row in enumerate(logits > 0):
        labels = tuple(np.flatnonzero(row).tolist())
        likely = tuple(names[label] for label in labels)
        predictions[number] = ClassSet(labels, likely, predictions[number].top)
    return predictions


def _parts(images: np.ndarray):
    """The images in batches of a few sizes, each with how many of its rows count."""
    start = 0
    while start < len(images):
        part = images[start : start + SIZES[-1]]
        size = next(size for size in SIZES if size >= len(part))
        padding = [(0, size - len(part))] + [(0, 0)] * (images.ndim - 1)
        yield np.pad(part, padding), len(part)
        start += len(part)
