"""Filters and feature maps as small pictures."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from cnnjax.report.html.facts import LayerValues
from cnnjax.report.html.inside import filter_tiles, map_tiles


def pixels_of(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_filters_of_one_channel_are_red_white_and_blue():
    kernel = np.zeros((2, 1, 1, 3), np.float32)
    kernel[:, 0, 0, 1] = 2, -2
    kernel[:, 0, 0, 2] = 1, 0
    tiles = filter_tiles(LayerValues("Conv_0", kernel))
    none, both, half = map(pixels_of, tiles.pictures)
    np.testing.assert_array_equal(none, np.full((2, 1, 3), 255))
    np.testing.assert_array_equal(both[:, 0], [(200, 20, 20), (20, 60, 200)])
    np.testing.assert_allclose(half[0, 0], (228, 138, 138), atol=2)
    assert tiles.text.startswith("3 filters of 2 x 1. Red is positive")


def test_filters_of_three_channels_are_in_color_around_gray():
    kernel = np.zeros((3, 2, 3, 2), np.float32)
    kernel[0, 0, :, 1] = 1, -1, 0
    tiles = filter_tiles(LayerValues("Conv_0", kernel))
    gray, colored = map(pixels_of, tiles.pictures)
    np.testing.assert_array_equal(gray, np.full((3, 2, 3), 128))
    assert colored.shape == (3, 2, 3)
    np.testing.assert_array_equal(colored[0, 0], (255, 0, 128))


@pytest.mark.parametrize(
    ("shape", "pictures", "picture", "words"),
    [
        ((3, 3, 4, 70), 64, (3, 3, 3), "The first of 4 input channels is shown."),
        ((5, 2, 7), 1, (7, 5, 3), "Each row is a filter."),
        ((5, 3, 2, 1, 6), 6, (3, 2, 3), "the middle slice is shown"),
    ],
)
def test_filters_of_every_rank(shape, pictures, picture, words):
    kernel = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    tiles = filter_tiles(LayerValues("Conv_0", kernel))
    assert len(tiles.pictures) == pictures and words in tiles.text
    assert pixels_of(tiles.pictures[0]).shape == picture
    assert tiles.are_rows == (len(shape) == 3)


def test_feature_maps_have_one_scale():
    values = np.zeros((2, 3, 40), np.float32)
    values[0, 1, 0], values[1, 2, 39] = -1, 3  # the last one is not shown
    tiles = map_tiles(LayerValues("Conv_0", values))
    assert len(tiles.pictures) == 32
    first = pixels_of(tiles.pictures[0])
    assert (first.shape, first[0, 1], first[0, 0]) == ((2, 3), 0, 64)
    assert "black is -1, the smallest value, and white 3" in tiles.text
    assert "The first 32 are shown." in tiles.text
    rows = map_tiles(LayerValues("Conv_0", values[0]))
    assert rows.are_rows and pixels_of(rows.pictures[0]).shape == (32, 3)


def test_large_maps_are_reduced_and_end_at_the_limit():
    values = np.random.default_rng(0).normal(size=(300, 200, 32))
    tiles = map_tiles(LayerValues("Conv_0", values))
    assert pixels_of(tiles.pictures[0]).shape == (64, 43)
    assert sum(map(len, tiles.pictures)) <= 200_000


def test_values_that_are_not_finite_are_drawn():
    values = np.full((3, 3, 1, 2), np.nan, np.float32)
    assert len(filter_tiles(LayerValues("a", values)).pictures) == 2
    assert len(map_tiles(LayerValues("a", values[..., 0, :])).pictures) == 2
