"""The inside of a network as small pictures: filters and feature maps."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from cnnjax.report.html.facts import Inside, LayerValues, shorten
from cnnjax.report.html.thumbnails import as_uri
from cnnjax.report.maps_sheet import SIGNED, color
from cnnjax.report.pictures import draw_small, find_scale

MOST_FILTERS, MOST_MAPS = 64, 32
LARGEST_TILE = 64
"""The longer side of the largest picture of a channel, in pixels."""
MOST_CHARACTERS = 200_000
"""Of the data URIs of one set of tiles."""


class Tiles(NamedTuple):
    """Pictures side by side.

    Attributes:
        title: above them.
        text: what they show.
        pictures: data URIs.
        are_rows: whether there is one picture, in which each row is a channel.
    """

    title: str
    text: str
    pictures: Sequence[str]
    are_rows: bool = False


def describe_inside(inside: Inside) -> list[Tiles]:
    """The filters of the first layer, and feature maps; empty parts are left out."""
    found = []
    if inside.filters is not None:
        found.append(filter_tiles(inside.filters))
    scale = find_scale([inside.image], inside.image.dtype)
    example = as_uri(draw_small(inside.image.astype(np.float64), scale, 96))
    if inside.maps:
        name = shorten(inside.name)
        text = "The test image whose feature maps follow."
        found.append(Tiles(f"Input: {name}", text, [example]))
    return [*found, *map(map_tiles, inside.maps)]


def filter_tiles(filters: LayerValues) -> Tiles:
    """The filters of a convolution, all on one scale.

    With 3 input channels, they are red, green and blue, and gray is 0. Otherwise red is
    positive, blue negative and white 0.
    """
    kernel = filters.values
    *window, channels, count = kernel.shape
    size = " x ".join(map(str, window))
    text = f"{count:,} filters of {size} with {channels:,} input channels."
    if channels == 1:
        text = f"{count:,} filters of {size}."
    kernel = np.nan_to_num(kernel[..., :MOST_FILTERS])
    if count > MOST_FILTERS:
        text += f" The first {MOST_FILTERS} are shown."
    if len(window) == 3:
        kernel = kernel[len(kernel) // 2]
        text += " Of each, the middle slice is shown."
    largest = float(np.quantile(np.abs(kernel), 0.995)) or 1.0
    shares = np.clip(kernel / largest, -1, 1) / 2 + 0.5
    title = f"Filters of the first layer, {shorten(filters.layer)}"
    if channels == 3 and len(window) > 1:
        text += " Each is drawn in color; gray is 0."
        colors = np.round(255 * shares).astype(np.uint8)
    else:
        text += " Red is positive, blue negative, white 0."
        if channels > 1:
            text += f" The first of {channels:,} input channels is shown."
        colors = color(shares[..., 0, :], SIGNED)  # (*window, filters, 3)
        if len(window) == 1:
            rows = colors.swapaxes(0, 1)
            return Tiles(title, f"{text} Each row is a filter.", [_uri(rows)], True)
        colors = np.moveaxis(colors, -1, -2)
    pictures = [_uri(colors[..., i]) for i in range(colors.shape[-1])]
    return Tiles(title, text, _within_limit(pictures))


def map_tiles(maps: LayerValues) -> Tiles:
    """The channels of a layer's output for one example, all on one scale."""
    values = np.nan_to_num(maps.values)
    *positions, count = values.shape
    low, high = float(values.min()), float(values.max())
    size = " x ".join(map(str, positions))
    text = (
        f"{count:,} channels of {size}; black is {low:.3g}, the smallest value, and"
        f" white {high:.3g}, the largest."
    )
    title = f"Feature maps of {shorten(maps.layer)}"
    if count > MOST_MAPS:
        text += f" The first {MOST_MAPS} are shown."
    shares = (values[..., :MOST_MAPS] - low) / ((high - low) or 1.0)
    grays = np.round(255 * shares).astype(np.uint8)
    if len(positions) == 1:
        return Tiles(title, f"{text} Each row is a channel.", [_uri(grays.T)], True)
    if len(positions) == 3:
        grays = grays[len(grays) // 2]
        text += " Of each, the middle slice is shown."
    pictures = [_uri(grays[..., i]) for i in range(grays.shape[-1])]
    return Tiles(title, text, _within_limit(pictures))


def _uri(pixels: np.ndarray) -> str:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if max(picture.size) > LARGEST_TILE and pixels.shape[0] > 1:
        picture.thumbnail((LARGEST_TILE, LARGEST_TILE), Image.Resampling.BOX)
    return as_uri(picture)


def _within_limit(pictures: Sequence[str]) -> list[str]:
    """The first pictures, as many as there is room for."""
    ends = np.cumsum([len(picture) for picture in pictures])
    return [*pictures[: int((ends <= MOST_CHARACTERS).sum())]]
