"""The sheet that ``cnnjax show`` draws: what a network sees, with labels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cnnjax.data import Dataset, Normalization
from cnnjax.report.pictures import Scale, describe, draw, find_scale, undo
from cnnjax.report.sheet import Part, draw_sheet, has_glyphs
from cnnjax.streams import printable

if TYPE_CHECKING:
    from cnnjax.train.run.inputs import Inputs, Shown


def draw_inputs(
    title: str,
    shown: Sequence["Shown"],
    dataset: Dataset,
    normalization: Normalization,
) -> Image.Image:
    """A part for each of ``shown``, all on one scale.

    Args:
        title: of the sheet.
        shown: from top to bottom.
        dataset: of the examples.
        normalization: of the images; it is undone.
    """
    values = [undo(each.inputs.images, normalization) for each in shown]
    images = dataset.train.images
    scale = find_scale(values, images.dtype)
    text = [_describe_scale(scale, len(images.shape) - 2), *describe(images.shape[1:])]
    if not all(np.isfinite(x).all() for x in values):
        text.append("Some values are not finite; NaN is drawn like the least.")
    names = _names(dataset)
    parts = [
        Part(
            each.heading,
            each.text,
            [draw(image, scale) for image in pictures],
            _captions(each.inputs, names),
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


def _names(dataset: Dataset) -> list[str]:
    """What to call each class; its number where there is no name that can be shown."""
    numbers = [f"class {number}" for number in range(dataset.num_classes)]
    names = map(printable, dataset.class_names or numbers)
    return [
        name if has_glyphs(name) else number
        for name, number in zip(names, numbers, strict=True)
    ]


def _captions(inputs: "Inputs", names: Sequence[str]) -> list[list[str]]:
    """The class of each image; in a mix, both classes with their shares."""
    if inputs.shares is None or inputs.others is None:
        return [[names[int(label)]] for label in inputs.labels]
    mixes = zip(inputs.shares, inputs.labels, inputs.others, strict=True)
    return [
        [f"{share:.0%} {names[int(label)]}", f"{1 - share:.0%} {names[int(other)]}"]
        for share, label, other in mixes
    ]
