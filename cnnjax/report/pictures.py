"""Arrays as pictures: gray or color images, slices of volumes, plots of signals."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from cnnjax.data import Normalization
from cnnjax.data.masks import palette

SMALL, LARGE = 128, 256
"""Pixels: images are enlarged to at most ``SMALL``, and reduced to at most ``LARGE``.

An image is enlarged by an integer factor, so each pixel becomes a square.
"""
PLOT = (128, 96)
"""Width and height of a plot of a signal, in pixels."""
COLORS = ("#1f5fbf", "#d1601f", "#2c8a3d", "#8a3fa8")
"""The colors of the channels of a signal."""


class Scale(NamedTuple):
    """The values drawn as black and white, or at the bottom and top of a plot."""

    low: float
    high: float


def find_scale(images: Sequence[np.ndarray], dtype: np.dtype) -> Scale:
    """The scale for some images, in the units in which they are stored.

    For uint8 images, it is 0 to 255; if all values are in the lower half, as in
    ``digits``, it is 0 to the largest value. For float images, it is the smallest to
    the largest value.

    Args:
        images: arrays of any shape.
        dtype: the dtype in which they are stored.
    """
    finite = [x[np.isfinite(x)] for x in images]
    largest = max((float(x.max()) for x in finite if x.size), default=1.0)
    if dtype == np.uint8:
        return Scale(0.0, 255.0 if largest > 127 else max(round(largest, 2), 1.0))
    least = min((float(x.min()) for x in finite if x.size), default=0.0)
    return Scale(least, largest if largest > least else least + 1)


def undo(images: np.ndarray, normalization: Normalization) -> np.ndarray:
    """Undoes the normalization: images in the units in which they were stored."""
    mean, std = (x.astype(np.float64) for x in normalization)
    return images * std + mean


def draw(image: np.ndarray, scale: Scale) -> Image.Image:
    """The picture of one example ``(*spatial, channels)``.

    Args:
        image: in the units of ``scale``. Values outside of it are clipped.
        scale: the scale of all pictures of a sheet.
    """
    if image.ndim == 2:
        return _plot(_fractions(image, scale)[:, : len(COLORS)])
    return _resize(_pixels(image, scale))


def draw_small(image: np.ndarray, scale: Scale, size: int) -> Image.Image:
    """The picture of one example, not enlarged, and at most ``size`` pixels long.

    Args:
        image: ``(*spatial, channels)``, in the units of ``scale``.
        scale: the values that are drawn as black and white.
        size: the longer side of the largest picture.
    """
    picture = draw(image, scale) if image.ndim == 2 else _pixels(image, scale)
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    return picture


def _pixels(image: np.ndarray, scale: Scale) -> Image.Image:
    """An image in its own size; of a volume, the middle slice."""
    values = _fractions(image, scale)
    if image.ndim == 4:
        values = values[len(values) // 2]
    bytes_ = np.round(255 * values).astype(np.uint8)
    color = image.shape[-1] in (3, 4)
    return Image.fromarray(bytes_[..., :3] if color else bytes_[..., 0])


def _fractions(image: np.ndarray, scale: Scale) -> np.ndarray:
    """Values from 0, the scale's lower end, to 1; NaN becomes 0."""
    values = np.nan_to_num((image - scale.low) / (scale.high - scale.low))
    return np.clip(values, 0, 1)


def with_map(picture: Image.Image, labels: np.ndarray) -> Image.Image:
    """A picture with the label map ``(*spatial)`` of its example beside it.

    Pixels to ignore are white.
    """
    if labels.ndim == 1:
        labels = labels[None]
    elif labels.ndim == 3:
        labels = labels[len(labels) // 2]
    colors = palette()[labels.astype(np.int64) % 256]
    colors[labels < 0] = 255
    drawn = Image.fromarray(colors).resize(picture.size, Image.Resampling.NEAREST)
    width, height = picture.size
    both = Image.new("RGB", (2 * width + 2, height), "white")
    both.paste(picture, (0, 0))
    both.paste(drawn, (width + 2, 0))
    return both


def describe(shape: Sequence[int]) -> list[str]:
    """Sentences on what is not drawn of an example ``(*spatial, channels)``."""
    *spatial, channels = shape
    notes = []
    if len(spatial) == 1:
        if channels > len(COLORS):
            notes.append(f"The first {len(COLORS)} of {channels} channels are shown.")
        return notes
    if len(spatial) == 3:
        number = spatial[0] // 2 + 1
        notes.append(f"Of {spatial[0]} slices, the middle one, {number}, is shown.")
    if channels == 4:
        notes.append("The first 3 of 4 channels are shown, as red, green and blue.")
    elif channels not in (1, 3):
        notes.append(f"The first of {channels} channels is shown.")
    height, width = spatial[-2:]
    reduced = _size(width, height)
    if reduced < (width, height):
        notes.append(f"Images are reduced to {reduced[1]}x{reduced[0]} pixels.")
    return notes


def _size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the picture of an image."""
    longest = max(width, height)
    if longest > LARGE:
        return max(1, width * LARGE // longest), max(1, height * LARGE // longest)
    factor = max(1, SMALL // longest)
    return width * factor, height * factor


def _resize(image: Image.Image) -> Image.Image:
    size = _size(*image.size)
    enlarges = size >= image.size
    resampling = Image.Resampling.NEAREST if enlarges else Image.Resampling.LANCZOS
    return image.resize(size, resampling).convert("RGB")


def _plot(values: np.ndarray) -> Image.Image:
    """Lines of the channels of a signal ``(length, channels)``, from 0 to 1.

    Drawn twice as large and reduced, for smooth lines.
    """
    width, height = (2 * n for n in PLOT)
    plot = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(plot)
    xs = np.linspace(8, width - 9, len(values))
    for channel, color in zip(values.T, COLORS, strict=False):
        points = np.stack([xs, 8 + (height - 17) * (1 - channel)], axis=1)
        pen.line([tuple(point) for point in points.tolist()], color, 3, "curve")
    return plot.resize(PLOT, Image.Resampling.BOX)
