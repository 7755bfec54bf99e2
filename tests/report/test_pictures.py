"""Pictures of arrays: every pixel, and what is left out is said."""

import numpy as np
import pytest

from cnnjax.data import Normalization
from cnnjax.report.pictures import Scale, describe, draw, draw_small, find_scale, undo

BYTES = Scale(0, 255)
RANDOM = np.random.default_rng(0)


def test_undoing_the_normalization_gives_every_byte_back():
    images = RANDOM.integers(0, 256, (2, 5, 4, 3), np.uint8)
    normalization = Normalization(
        np.array([100.1, 7.3, 255.0], np.float32), np.array([3.7, 70.0, 0.3], "f")
    )
    normalized = (images.astype(np.float32) - normalization.mean) / normalization.std
    assert (np.round(undo(normalized, normalization)) == images).all()


@pytest.mark.parametrize(("channels", "kept"), [(1, 1), (2, 1), (3, 3), (4, 3), (5, 1)])
def test_a_small_image_is_enlarged_by_a_whole_factor(channels, kept):
    image = RANDOM.integers(0, 256, (9, 20, channels), np.uint8)
    picture = np.asarray(draw(image, BYTES))
    large = image[..., :kept].repeat(6, 0).repeat(6, 1)
    assert (picture == np.broadcast_to(large, (54, 120, 3))).all()


def test_a_large_image_is_reduced():
    image = np.full((512, 300, 3), 9, np.uint8)
    assert draw(image, BYTES).size == (150, 256)
    assert describe(image.shape) == ["Images are reduced to 256x150 pixels."]
    assert draw(image[:200, :130], BYTES).size == (130, 200)


def test_of_a_volume_the_middle_slice_is_drawn():
    volume = np.zeros((5, 64, 64, 1))
    volume[2] = 200
    assert (np.asarray(draw(volume, BYTES)) == 200).all()
    assert describe(volume.shape) == ["Of 5 slices, the middle one, 3, is shown."]


def test_a_signal_is_a_line_for_each_channel():
    """A ramp rises from the bottom left to the top right; the other channel falls."""
    ramp = np.linspace(0, 255, 50)
    picture = np.asarray(draw(np.stack([ramp, 255 - ramp], 1), BYTES), int)
    assert picture.shape == (96, 128, 3)
    blue = picture[..., 2] - picture[..., 0] > 60
    orange = picture[..., 0] - picture[..., 2] > 60
    for drawn, slope in ((blue, -1), (orange, 1)):
        rows, columns = np.nonzero(drawn)
        assert np.corrcoef(rows, columns)[0, 1] * slope > 0.99
    assert describe((50, 2)) == []
    assert describe((50, 6)) == ["The first 4 of 6 channels are shown."]


@pytest.mark.parametrize(
    ("values", "dtype", "scale"),
    [
        ([3, 16.0], np.uint8, (0, 16)),
        ([3, 128], np.uint8, (0, 255)),
        ([0, 0], np.uint8, (0, 1)),
        ([-2.5, 0.5, np.nan, np.inf], np.float32, (-2.5, 0.5)),
        ([4, 4], np.float32, (4, 5)),
        ([np.nan], np.float32, (0, 1)),
    ],
)
def test_the_scale(values, dtype, scale):
    assert find_scale([np.array(values)], np.dtype(dtype)) == scale


def test_values_beyond_the_scale_are_clipped():
    image = np.array([[[-9.0]], [[0.25]], [[7.0]], [[np.nan]]])
    column = np.asarray(draw(image, Scale(0, 1)))[16::32, 0, 0]
    np.testing.assert_array_equal(column, [0, 64, 255, 0])


@pytest.mark.parametrize(
    ("channels", "sentence"),
    [
        (2, "The first of 2 channels is shown."),
        (4, "The first 3 of 4 channels are shown, as red, green and blue."),
        (7, "The first of 7 channels is shown."),
    ],
)
def test_channels_that_are_left_out(channels, sentence):
    assert describe((8, 8, channels)) == [sentence]
    assert describe((8, 8, 1)) == describe((8, 8, 3)) == []


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((7, 5, 1), (5, 7)),
        ((200, 100, 3), (48, 96)),
        ((3, 9, 8, 1), (8, 9)),
        ((50, 2), (96, 72)),
    ],
)
def test_a_small_picture_is_never_enlarged(shape, size):
    assert draw_small(np.zeros(shape), BYTES, 96).size == size
