"""A confusion matrix as a picture."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from cnnjax.metrics import Outputs, confusion_matrix
from cnnjax.report.sheet import CAPTION, drawn_names, font_of, shorten

SIZE, MARGIN, NAME = 600, 8, 110
"""Pixels: of the matrix, around it, and for the names of the classes."""
_SMALLEST_TEXT = 16
_BLUE = np.array([8, 48, 107])


def draw_confusion(outputs: Outputs, class_names: Sequence[str] | None) -> Image.Image:
    """Draws how many examples of each class (rows) are taken for each (columns).

    A cell is the darker, the larger its share of its row is.

    Args:
        outputs: of a network for a split, one class per example.
        class_names: one per class; ``None`` shows their numbers.
    """
    classes = outputs.logits.shape[-1]
    counts = confusion_matrix(outputs.known())
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    colors = 255 + shares[..., None] * (_BLUE - 255)
    cell = max(SIZE // classes, 3)
    matrix = Image.fromarray(colors.round().astype(np.uint8)).resize(
        (cell * classes, cell * classes), Image.Resampling.NEAREST
    )
    top = MARGIN + CAPTION + 4
    left = MARGIN + NAME
    size = left + matrix.width + MARGIN, top + matrix.height + MARGIN
    picture = Image.new("RGB", size, "white")
    picture.paste(matrix, (left, top))
    pen = ImageDraw.Draw(picture)
    heading = "a row per class, a column per prediction, in the same order"
    pen.text((MARGIN, MARGIN), heading, "#404040", font_of(CAPTION))
    pen.rectangle((left - 1, top - 1, size[0] - MARGIN, size[1] - MARGIN), None, "gray")
    if cell < _SMALLEST_TEXT:
        return picture
    names = drawn_names(class_names, [str(number) for number in range(classes)])
    for row, name in enumerate(names):
        middle = top + row * cell + cell // 2
        text = shorten(name, NAME - 4)
        pen.text((left - 4, middle), text, "black", font_of(CAPTION), anchor="rm")
        for column, count in enumerate(counts[row].tolist()):
            text, color = str(count), "white" if shares[row, column] > 0.5 else "black"
            if count and font_of(CAPTION).getlength(text) < cell:
                place = left + column * cell + cell // 2, middle
                pen.text(place, text, color, font_of(CAPTION), anchor="mm")
    return picture
