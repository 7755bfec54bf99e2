"""What a segmentation predicts: label maps beside each other, and scores of pixels."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from cnnjax.data.masks import palette
from cnnjax.metrics.pixels import score_pixels
from cnnjax.report.html.classes import ClassRow
from cnnjax.report.html.facts import LabelMaps, shorten
from cnnjax.report.html.numbers import percent
from cnnjax.report.html.thumbnails import SIZE, as_uri, make_thumbnails

HEADINGS = ("class", "IoU", "precision", "recall", "F1", "pixels")
MOST_IN_LEGEND = 40


class ShownMap(NamedTuple):
    """An example: its image, and its true and predicted label maps, as data URIs."""

    image: str
    truth: str
    prediction: str
    name: str
    detail: str


class Masks(NamedTuple):
    """What is shown of a segmentation.

    Attributes:
        rows: of the table of classes.
        legend: color and name of the classes in the pictures.
        examples: the ones with the most wrong pixels first.
    """

    rows: Sequence[ClassRow]
    legend: Sequence[tuple[str, str]]
    examples: Sequence[ShownMap]


def describe_masks(maps: LabelMaps, names: Sequence[str]) -> Masks:
    """Scores of the pixels of each class, and examples.

    Args:
        maps: predictions of the test split.
        names: one per class, safe to show.

    Raises:
        DataError: an image that cannot be read.
        OSError: a file that is gone.
    """
    rows = []
    for name, score in zip(names, score_pixels(maps.confusion), strict=True):
        values = [-1 if math.isnan(x) else round(x, 6) for x in score]
        rows.append(
            ClassRow(name, values, [*map(percent, score[:-1]), f"{score.support:,}"])
        )
    labels = maps.split.labels
    images = make_thumbnails(maps.split, range(len(labels)))
    examples = []
    for number, (truth, guess) in enumerate(zip(labels, maps.predictions, strict=True)):
        labeled = truth >= 0
        wrong = float((truth != guess)[labeled].mean()) if labeled.any() else 0.0
        examples.append(
            ShownMap(
                images.get(number, ""),
                _draw(truth),
                _draw(guess),
                shorten(maps.names[number]),
                f"{wrong:.1%} of the pixels are wrong",
            )
        )
    seen = np.union1d(labels[labels >= 0], maps.predictions)[:MOST_IN_LEGEND]
    colors = palette()
    legend = [
        (f"#{colors[number % 256].tobytes().hex()}", str(names[number]))
        for number in seen.astype(int).tolist()
    ]
    return Masks(rows, legend, examples)


def _draw(labels: np.ndarray) -> str:
    """A label map in the colors of the legend; pixels to ignore are white."""
    if labels.ndim == 1:
        labels = np.repeat(labels[None], 8, axis=0)
    elif labels.ndim == 3:
        labels = labels[len(labels) // 2]
    colors = palette()
    if labels.min() < 0:
        colors[255] = 255
    numbers = np.where(labels < 0, 255, labels.astype(np.int64) % 256).astype(np.uint8)
    picture = Image.fromarray(numbers)
    picture.putpalette(colors.tobytes())
    longest = max(picture.size)
    if longest > SIZE:
        width, height = (max(1, n * SIZE // longest) for n in picture.size)
        picture = picture.resize((width, height), Image.Resampling.NEAREST)
    return as_uri(picture)
