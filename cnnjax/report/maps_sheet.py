"""Sheets of what a network makes of its inputs: maps of importance, feature maps."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from cnnjax.report.pictures import Scale, describe, draw, find_scale
from cnnjax.report.sheet import MARGIN, WIDTH, Part, draw_sheet

HEAT = np.array(
    [(0, 0, 0), (150, 0, 60), (240, 90, 0), (255, 210, 60), (255, 255, 255)]
)
"""Colors from the smallest to the largest value."""
SIGNED = np.array([(20, 60, 200), (255, 255, 255), (200, 20, 20)])
"""Colors from the most negative value over zero to the most positive one."""
CHANNELS = 64
"""Feature maps of a layer that are drawn at most."""
CELL, SPACE = 64, 3
"""Pixels: feature maps are enlarged to at most ``CELL``, with ``SPACE`` between."""
FRAME = "#8090b0"
"""The color of that space."""


class ImportanceMaps(NamedTuple):
    """An example and its maps.

    Attributes:
        heading: its name, label and prediction.
        text: sentences about it.
        image: as it is stored ``(*spatial, channels)``.
        saliency: ``(*spatial)``.
        grad_cam: by layer, ``(*positions)``.
        integrated: gradients, summed over the channels ``(*spatial)``.
    """

    heading: str
    text: str
    image: np.ndarray
    saliency: np.ndarray
    grad_cam: Mapping[str, np.ndarray]
    integrated: np.ndarray


class FeatureMaps(NamedTuple):
    """The output of one layer for one example.

    Attributes:
        heading: which ones.
        values: ``(*positions, channels)``.
    """

    heading: str
    values: np.ndarray


def draw_importance(title: str, examples: Sequence[ImportanceMaps]) -> Image.Image:
    """Draws each example beside its maps.

    Each map has a scale of its own: from 0 to its largest value, or for integrated
    gradients the same in both directions. Of volumes, the middle slice is drawn, and
    signals are plotted.
    """
    images = [each.image for each in examples]
    scale = find_scale(images, images[0].dtype)
    shape = images[0].shape
    text = (
        "Saliency is the absolute gradient of the logit. Grad-CAM shows where the"
        " output of a layer supports the class. Integrated gradients add up to the"
        " difference from the logit of a black input: red supports the class, blue"
        " opposes it."
    )
    if len(shape) == 2:
        text = (
            "Each map is plotted from 0 at the bottom; integrated gradients, whose sum"
            " is the difference from the logit of an input of zeros, with 0 in the"
            " middle."
        )
    parts = []
    for each in examples:
        picture = draw(each.image, scale)
        cams = {
            ("Grad-CAM", name): _draw_overlay(cam, picture, len(shape), shape[0])
            for name, cam in each.grad_cam.items()
        }
        pictures = {
            ("input", ""): picture,
            ("saliency", ""): _draw_map(each.saliency, HEAT, picture.size),
            **cams,
            ("integrated", "gradients"): _draw_map(
                each.integrated, SIGNED, picture.size
            ),
        }
        part = Part(each.heading, each.text, [*pictures.values()], [*pictures])
        parts.append(part)
    return draw_sheet(title, " ".join([text, *describe(shape)]), parts)


def draw_features(title: str, maps: Sequence[FeatureMaps]) -> Image.Image:
    """Draws the channels of layers' outputs as grids, each grid on one scale.

    Of volumes, the middle slice is drawn. Channels of signals are the rows of one
    picture.
    """
    each = "small picture" if maps[0].values.ndim > 2 else "row"
    text = (
        f"Each {each} is one channel. All those of a grid have one scale: black"
        " is the smallest value of the layer for the example, white the largest."
    )
    parts = [
        Part(each.heading, _describe(each.values), [_draw_grid(each.values)], [[]])
        for each in maps
    ]
    return draw_sheet(title, text, parts)


def _describe(values: np.ndarray) -> str:
    shape = "x".join(map(str, values.shape))
    text = f"{shape}, from {values.min():.3g} to {values.max():.3g}."
    if values.shape[-1] > CHANNELS and values.ndim > 2:
        text += f" The first {CHANNELS} of {values.shape[-1]} channels are shown."
    return text


def _draw_map(
    values: np.ndarray, colors: np.ndarray, size: tuple[int, int]
) -> Image.Image:
    """A map ``(*spatial)``, as large as the picture of its input."""
    largest = float(np.abs(values).max()) or 1.0
    low = -largest if colors is SIGNED else 0.0
    if values.ndim == 1:
        return draw(values[:, None], Scale(low, largest))
    if values.ndim == 3:
        values = values[len(values) // 2]
    shares = (values - low) / (largest - low)
    resampling = Image.Resampling.LANCZOS
    if size >= values.shape[::-1]:
        resampling = Image.Resampling.NEAREST
    return Image.fromarray(color(shares, colors)).resize(size, resampling)


def _draw_overlay(
    cam: np.ndarray, picture: Image.Image, rank: int, length: int
) -> Image.Image:
    """A coarse map over the picture of its input."""
    if rank == 2:
        centers = (np.arange(len(cam)) + 0.5) * length / len(cam) - 0.5
        return _draw_map(np.interp(np.arange(length), centers, cam), HEAT, picture.size)
    largest = float(cam.max()) or 1.0
    if cam.ndim == 3:
        cam = cam[len(cam) // 2]
    shares = Image.fromarray((cam / largest).astype(np.float32))
    smooth = np.asarray(shares.resize(picture.size, Image.Resampling.BILINEAR))
    heat = Image.fromarray(color(smooth, HEAT))
    return Image.blend(picture.convert("L").convert("RGB"), heat, 0.6)


def color(shares: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Values from 0 to 1 as colors ``(..., 3)``, between the given ones.

    Args:
        shares: NaN is taken for 0.
        colors: at equal distances, such as ``SIGNED``.
    """
    shares = np.nan_to_num(np.clip(shares, 0, 1))
    places = np.linspace(0, 1, len(colors))
    mixed = [np.interp(shares, places, channel) for channel in colors.T]
    return np.stack(mixed, axis=-1).round().astype(np.uint8)


def _draw_grid(values: np.ndarray) -> Image.Image:
    """Channels ``(*positions, channels)`` in rows, as wide as the sheet at most."""
    low, high = float(values.min()), float(values.max())
    bytes_ = np.round(255 * (values - low) / ((high - low) or 1.0)).astype(np.uint8)
    if values.ndim == 2:
        bytes_ = bytes_.T[..., None]  # one picture, with a row for each channel
    elif values.ndim == 4:
        bytes_ = bytes_[len(bytes_) // 2]
    height, width, channels = bytes_.shape
    room = WIDTH - 2 * MARGIN
    factor = max(1, CELL // max(height, width))
    if values.ndim == 2:
        factor = max(1, min(4, room // width))
    w, h = width * factor, height * factor
    if values.ndim > 2 and max(w, h) > room // 2:
        w, h = (max(1, n * room // (2 * max(w, h))) for n in (w, h))
    shown = min(channels, CHANNELS)
    columns = max(1, min(shown, (room + SPACE) // (w + SPACE)))
    rows = -(-shown // columns)
    grid = Image.new("RGB", (columns * (w + SPACE), rows * (h + SPACE)), "white")
    for channel in range(shown):
        row, column = divmod(channel, columns)
        left, top = column * (w + SPACE), row * (h + SPACE)
        picture = Image.fromarray(np.ascontiguousarray(bytes_[..., channel]))
        grid.paste(FRAME, (left, top, left + w + SPACE, top + h + SPACE))
        grid.paste(picture.resize((w, h), Image.Resampling.NEAREST), (left, top))
    return grid
