"""Changes of color, held to Pillow and to loops over pixels."""

import colorsys

import jax
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from cnnjax.data.augmentation import planes

SHAPES = [(1, 7, 5), (3, 6, 9)]


def make(shape, seed=0):
    """Bytes, channels first, not over the whole range."""
    return np.random.default_rng(seed).integers(10, 240, shape, dtype=np.uint8)


def to_pillow(x):
    return Image.fromarray(x[0] if len(x) == 1 else np.moveaxis(x, 0, -1))


def from_pillow(image):
    x = np.asarray(image)
    return x[None] if x.ndim == 2 else np.moveaxis(x, -1, 0)


def assert_near(found, expected, within):
    """Compares planes from 0 to 1 with bytes; ``within`` is in bytes."""
    np.testing.assert_allclose(255 * np.asarray(found), expected, atol=within)


# Pillow rounds each result down or to the nearest byte.
CASES = {
    "brighten": (planes.brighten, lambda x, f: ImageEnhance.Brightness(x).enhance(f)),
    "contrast": (planes.contrast, lambda x, f: ImageEnhance.Contrast(x).enhance(f)),
    "saturate": (planes.saturate, lambda x, f: ImageEnhance.Color(x).enhance(f)),
    "sharpen": (planes.sharpen, lambda x, f: ImageEnhance.Sharpness(x).enhance(f)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
@pytest.mark.parametrize("name", CASES)
def test_enhancements(name, factor, shape):
    ours, pillow = CASES[name]
    x = make(shape)
    expected = from_pillow(pillow(to_pillow(x), factor))
    # Pillow rounds what it blends with, too.
    assert_near(jax.jit(ours)(x / 255, factor), expected, 1.01 + abs(1 - factor))


@pytest.mark.parametrize("shape", SHAPES)
def test_smooth(shape):
    x = make(shape)
    expected = from_pillow(to_pillow(x).filter(ImageFilter.SMOOTH))
    assert_near(planes.smooth(x / 255.0), expected, 0.51)


@pytest.mark.parametrize("shape", [(2, 2), (1, 9, 2)])
def test_images_without_an_inside_are_not_smoothed(shape):
    x = make(shape) / 255.0
    np.testing.assert_array_equal(planes.smooth(x), x)


def test_smooth_in_one_dimension():
    x = np.array([[1.0, 2.0, 4.0, 8.0]])
    np.testing.assert_allclose(planes.smooth(x), [[1, 15 / 7, 30 / 7, 8]], rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_invert(shape):
    x = make(shape)
    assert_near(planes.invert(x / 255.0), from_pillow(ImageOps.invert(to_pillow(x))), 0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("threshold", [0, 100, 128, 255])
def test_solarize(shape, threshold):
    x = make(shape)
    expected = from_pillow(ImageOps.solarize(to_pillow(x), threshold))
    assert_near(planes.solarize(x / 255.0, threshold / 255), expected, 1e-4)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_posterize(shape, bits):
    x = make(shape)
    expected = from_pillow(ImageOps.posterize(to_pillow(x), bits))
    assert_near(planes.posterize(x / 255.0, 2 ** (8 - bits)), expected, 1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_autocontrast(shape):
    x = make(shape)
    expected = from_pillow(ImageOps.autocontrast(to_pillow(x)))
    assert_near(planes.autocontrast(x / 255.0), expected, 1.01)


@pytest.mark.parametrize("shape", [(1, 7, 5), (3, 6, 9), (3, 40, 31), (1, 64, 33)])
def test_equalize(shape):
    x = make(shape) // 2
    x[:, :2] = 20
    expected = from_pillow(ImageOps.equalize(to_pillow(x)))
    assert_near(jax.jit(planes.equalize)(x / 255.0), expected, 1e-4)


@pytest.mark.slow
def test_a_constant_image_keeps_its_color():
    x = np.full((3, 20, 20), 0.4, np.float32)
    for change in (planes.autocontrast, planes.equalize, planes.smooth):
        np.testing.assert_allclose(change(x), x, rtol=1e-6)


@pytest.mark.parametrize("shift", [-0.5, -0.2, 0.0, 0.3])
def test_shift_hue(shift):
    x = make((3, 5, 8)) / 255.0
    x[:, 0, 0] = 0.5  # gray
    x[:, 0, 1] = [1, 0, 0]
    expected = np.empty_like(x)
    for i, j in np.ndindex(5, 8):
        hue, saturation, value = colorsys.rgb_to_hsv(*x[:, i, j])
        expected[:, i, j] = colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value)
    np.testing.assert_allclose(planes.shift_hue(x, shift), expected, atol=1e-5)


def test_one_channel_has_no_hue():
    x = make((1, 4, 3)) / 255.0
    np.testing.assert_array_equal(planes.shift_hue(x, 0.3), x)
