"""What a report shows of the inside of a network: filters, feature maps, label maps."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from cnnjax.data import Split, normalize
from cnnjax.inference.layer_outputs import (
    layer_outputs,
    layers_with_positions,
    output_shapes,
)
from cnnjax.inference.trained_model import TrainedModel
from cnnjax.report.html import Inside, LabelMaps, LayerValues
from cnnjax.train.machine.numerics import configured
from cnnjax.train.step.state import named_leaves

MAPS_LOOKED_AT, MAPS_SHOWN = 64, 12
"""Examples of a segmentation, of which the worst are shown."""


def look_inside(trained: TrainedModel, image: np.ndarray, name: str) -> Inside:
    """The first filters of a network, and feature maps of one image.

    Args:
        trained: the model.
        image: in the range of the training data ``(*spatial, channels)``.
        name: what to call it.
    """
    model = trained.model
    if getattr(model, "remat", False):  # which hides the layers
        model = model.clone(remat=False)
    axes = len(trained.image_shape) - 1
    kernels = _kernels(trained.variables["params"])
    with configured(trained.config):
        x = normalize(image[None], trained.description.normalization)
        shapes = output_shapes(model, trained.variables, x)
        known = layers_with_positions(shapes, axes)
        chosen = [*dict.fromkeys([*known[:1], *known[len(known) // 2 :][:1]])]

        @jax.jit
        def outputs(variables, x):
            found = layer_outputs(model, variables, x)[1]
            return {name: found[name][0].astype(np.float32) for name in chosen}

        maps = jax.device_get(outputs(trained.variables, x)) if chosen else {}
    names = [name for name in shapes if name in kernels]
    first = next(iter(names), None)
    filters = None
    if first is not None and kernels[first].ndim == axes + 2:
        filters = LayerValues(first, kernels[first].astype(np.float32))
    values = [LayerValues(name, maps[name]) for name in chosen]
    return Inside(names, filters, image, name, values)


def find_label_maps(
    trained: TrainedModel, test: Split, confusion: np.ndarray, names: Any
) -> LabelMaps:
    """The test examples of a segmentation with the most wrong pixels, of the first 64.

    Args:
        trained: the model.
        test: the examples.
        confusion: of all their pixels.
        names: of their files; ``None`` without files.
    """
    images = np.asarray(test.images[:MAPS_LOOKED_AT])
    labels = np.asarray(test.labels[:MAPS_LOOKED_AT])
    predictions = trained.logits(images).argmax(axis=-1)
    wrong = (predictions != labels) & (labels >= 0)
    labeled = np.maximum((labels >= 0).reshape(len(labels), -1).sum(-1), 1)
    shares = wrong.reshape(len(labels), -1).sum(-1) / labeled
    worst = np.argsort(-shares, kind="stable")[:MAPS_SHOWN]
    return LabelMaps(
        confusion,
        Split(images[worst], labels[worst]),
        predictions[worst],
        example_names(worst, names),
    )


def example_names(numbers: np.ndarray, files: Any) -> list[str]:
    """The names of examples: of their files, or their numbers."""
    return [f"example {i}" if files is None else str(files[i]) for i in numbers]


def _kernels(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The kernels of a network by the names of their layers."""
    return {
        name.removesuffix(".kernel"): np.asarray(array)
        for name, array in named_leaves(params)
        if name.endswith(".kernel")
    }
