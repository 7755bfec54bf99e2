"""Maps of importance and predictions for the images of a trained model."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from cnnjax import progress
from cnnjax.data import normalize
from cnnjax.inference.saliency import (
    IntegratedGradients,
    grad_cam,
    integrated_gradients,
    largest_logits,
    saliency,
)
from cnnjax.inference.trained_model import TrainedModel
from cnnjax.train.machine.numerics import configured

BATCH = 8
"""Images whose maps are computed together."""
STEPS = 32
"""Pieces of the way from black to the image, for integrated gradients."""
TOLERANCE = 0.05
"""Of the sum of integrated gradients, relative to the difference of the logits."""


class Explanations(NamedTuple):
    """Maps for some images.

    Attributes:
        classes: whose logits the maps are about ``(n,)``.
        saliency: ``(n, *spatial)``.
        grad_cam: by layer, ``(n, *positions)``.
        integrated: gradients, from black images.
    """

    classes: np.ndarray
    saliency: np.ndarray
    grad_cam: Mapping[str, np.ndarray]
    integrated: IntegratedGradients

    @property
    def errors(self) -> np.ndarray:
        """How far sums of integrated gradients are from the differences of the logits.

        Relative to the differences; up to ``TOLERANCE``, they count as equal.
        """
        differences = self.integrated.differences.astype(np.float64)
        gaps = np.abs(self.integrated.sums - differences)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(gaps == 0, 0, gaps / np.abs(differences))


def explain(
    trained: TrainedModel,
    images: np.ndarray,
    layers: Sequence[str],
    label: int | None,
    steps: int = STEPS,
) -> Explanations:
    """The maps of some images.

    Args:
        trained: the model.
        images: in the range of the training data ``(n, *spatial, channels)``.
        layers: for Grad-CAM.
        label: the class to explain; ``None`` for the predicted one of each image.
        steps: from black to each image, for integrated gradients.
    """
    model, config = trained.model, trained.config
    normalization = trained.description.normalization
    black = normalize(np.zeros((1, *images.shape[1:]), images.dtype), normalization)

    @jax.jit
    def maps(variables, images):
        with configured(config):
            x = normalize(images, normalization)
            classes: Any = largest_logits(model, variables, x)
            if label is not None:
                classes = classes * 0 + label
            cams = [
                (name, grad_cam(model, variables, x, name, classes)) for name in layers
            ]
            return Explanations(
                classes,
                saliency(model, variables, x, classes),
                OrderedDict(cams),
                integrated_gradients(model, variables, x, black, classes, steps=steps),
            )

    size, found = min(BATCH, len(images)), []
    for start in range(0, len(images), size):
        progress.tell("computing maps", start, len(images))
        part = images[start : start + size]
        padding = [(0, size - len(part))] + [(0, 0)] * (part.ndim - 1)
        one = jax.device_get(maps(trained.variables, np.pad(part, padding)))
        found.append(jax.tree.map(lambda a: a[: len(part)], one))  # noqa: B023
    progress.tell("computing maps", len(images), len(images))
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *found)
