"""The sheet that ``cnnjax show`` draws: the inputs of a network, with their labels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cnnjax.data import Dataset, Normalization
from cnnjax.data.tasks import MULTILABEL, REGRESSION, SEGMENTATION
from cnnjax.report.pictures import (
    Scale,
    describe,
    draw,
    find_scale,
    undo,
    with_map,
)
from cnnjax.report.sheet import Part, draw_sheet, drawn_names

if TYPE_CHECKING:
    from cnnjax.train.run.inputs import Inputs, Shown


def draw_inputs(
    title: str,
    shown: Sequence["Shown"],
    dataset: Dataset,
    normalization: Normalization,
) -> Image.Image:
    """Draws one part for each of ``shown``, all on the same scale.

    Args:
        title: the title of the sheet.
        shown: the examples, from top to bottom.
        dataset: the data set of the examples.
        normalization: that of the images; it is undone.
    """
    values = [undo(each.inputs.images, normalization) for each in shown]
    images = dataset.train.images
    scale = find_scale(values, images.dtype)
    text = [_describe_scale(scale, len(images.shape) - 2), *describe(images.shape[1:])]
    if dataset.task == SEGMENTATION:
        text.append("Beside each image is its label map; pixels to ignore are white.")
    if not all(np.isfinite(x).all() for x in values):
        text.append("Some values are not finite; NaN is drawn as the smallest value.")
    names = shown_names(dataset.class_names, dataset.num_classes, dataset.task)
    parts = [
        Part(
            each.heading,
            each.text,
            _pictures(pictures, each.inputs, scale, dataset.task),
            _captions(each.inputs, names, dataset.task),
        )
        for each, pictures in zip(shown, values, strict=True)
    ]
    facts = describe_images([each.inputs for each in shown], normalization)
    return draw_sheet(title, f"{facts}. {' '.join(text)}", parts)


def describe_images(inputs: Sequence["Inputs"], normalization: Normalization) -> str:
    """The shape, dtype and range of the images, and how they are normalized."""
    stored = [each.stored for each in inputs]
    shape = "x".join(map(str, stored[0].shape[1:]))
    low, high = min(x.min() for x in stored), max(x.max() for x in stored)
    mean, std = (_list(values) for values in normalization)
    return (
        f"{shape} {stored[0].dtype}, from {low:.4g} to {high:.4g} in these examples,"
        f" normalized with mean {mean} and std {std}"
    )


def _list(values: np.ndarray) -> str:
    texts = [f"{value:.4g}" for value in values[:4]]
    if len(values) > 4:
        texts.append("...")
    return f"({', '.join(texts)})" if len(values) > 1 else texts[0]


def _describe_scale(scale: Scale, axes: int) -> str:
    ends = "the bottom", "the top"
    if axes > 1:
        ends = "black", "white"
    return (
        f"For display, the normalization is undone: {ends[0]} is {scale.low:.4g},"
        f" {ends[1]} is {scale.high:.4g}."
    )


def shown_names(
    class_names: Sequence[str] | None, num_classes: int, task: str
) -> list[str]:
    """The name to show for each class; its number if it has no name to show."""
    what = "output" if task == REGRESSION else "class"
    return drawn_names(
        class_names, [f"{what} {number}" for number in range(num_classes)]
    )


def _captions(inputs: "Inputs", names: Sequence[str], task: str) -> list[list[str]]:
    """The label of each image; in a mix, both labels with their shares."""
    labels = [label_text(label, names, task) for label in inputs.labels]
    if inputs.shares is None or inputs.others is None:
        return [[label] for label in labels]
    others = [label_text(label, names, task) for label in inputs.others]
    return [
        [f"{share:.0%} {label}", f"{1 - share:.0%} {other}"]
        for share, label, other in zip(inputs.shares, labels, others, strict=True)
    ]


def _pictures(
    images: np.ndarray, inputs: "Inputs", scale: Scale, task: str
) -> list[Image.Image]:
    if task != SEGMENTATION:
        return [draw(image, scale) for image in images]
    pairs = zip(images, inputs.labels, strict=True)
    return [with_map(draw(image, scale), labels) for image, labels in pairs]


def label_text(label: np.ndarray, names: Sequence[str], task: str) -> str:
    """A label as text: a class, several, the most probable one, or numbers by name."""
    if task == MULTILABEL:
        present = np.flatnonzero(label > 0.5).tolist()
        return ", ".join(names[number] for number in present) or "none"
    if task == REGRESSION:
        values = zip(names, label, strict=True)
        return ", ".join(f"{name} {value:.3g}" for name, value in values)
    if task == SEGMENTATION:
        known: list[int] = np.unique(label[label >= 0]).tolist()
        return ", ".join(names[number] for number in known) or "nothing known"
    if label.ndim:
        return f"{names[int(label.argmax())]} ({label.max():.0%})"
    return names[int(label)] if label >= 0 else "unknown"
