"""A trained model: images in, classes and probabilities out."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from cnnjax.config import Config
from cnnjax.data import normalize
from cnnjax.data.tasks import REGRESSION, SEGMENTATION
from cnnjax.errors import ConfigError, unknown_name
from cnnjax.inference.images import as_images
from cnnjax.inference.predictions import make_predictions
from cnnjax.metrics import probabilities
from cnnjax.train.machine.numerics import configured
from cnnjax.train.run.model_file import ModelFile

SIZES = (1, 8, 64, 256)
"""Batches are padded to one of these, so that only these are ever compiled."""

MOST_MAPS = 8
"""The largest of them where each pixel has outputs, which take much memory."""

Images = Any
"""An array, a path of an image file, or a sequence of either."""


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
            ``(n, num_classes)`` in float32, or ``(num_classes,)`` for one image; of a
            segmentation, with the spatial axes before the last.

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
            image. Where an image can have several classes, it is a ``ClassSet``, for a
            regression an ``Estimate``, and for a segmentation a ``LabelMap``.

        Raises:
            DataError: see ``logits``.
        """
        if type(k) is not int or k < 1:
            raise ConfigError(f"k is {k!r}, expected a whole number above 0")
        logits = self.logits(images)
        has_maps = self.description.task == SEGMENTATION
        is_one = logits.ndim == (len(self.image_shape) if has_maps else 1)
        batch = logits[None] if is_one else logits
        found = make_predictions(batch, self.description, k)
        return found[0] if is_one else found

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
            for part, count in _parts(batch, batch_sizes(self.description))
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


def batch_sizes(model: ModelFile) -> Sequence[int]:
    """The sizes of batches that a model is compiled for, from small to large."""
    if model.task != SEGMENTATION:
        return SIZES
    return [size for size in SIZES if size <= MOST_MAPS]


def _parts(images: np.ndarray, sizes: Sequence[int]):
    """The images in batches of a few sizes, each with how many of its rows count."""
    start = 0
    while start < len(images):
        part = images[start : start + sizes[-1]]
        size = next(size for size in sizes if size >= len(part))
        padding = [(0, size - len(part))] + [(0, 0)] * (images.ndim - 1)
        yield np.pad(part, padding), len(part)
        start += len(part)
