"""Random changes of color: ranges, probabilities, and normalization in between."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from cnnjax.data import Normalization, normalize
from cnnjax.data.augmentation import make_augmentation, planes
from cnnjax.data.augmentation.color import from_planes, make_blur, to_planes

SIZES = {1: (7,), 2: (6, 9), 3: (4, 5, 6)}


def make(axes=2, channels=3):
    """Pixels from 0 to 255, the same normalized, and the normalization."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (*SIZES[axes], channels), dtype=np.uint8)
    normalization = Normalization(
        draw.uniform(90, 130, channels).astype(np.float32),
        draw.uniform(40, 70, channels).astype(np.float32),
    )
    return pixels, normalize(pixels, normalization), normalization


def unit(image, normalization):
    """The pixels of a normalized image, from 0 to 1."""
    return (np.asarray(image) * normalization.std + normalization.mean) / 255


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_planes_and_back(axes):
    pixels, image, normalization = make(axes)
    x = to_planes(image, normalization)
    np.testing.assert_allclose(np.moveaxis(x, 0, -1), pixels / 255, atol=1e-6)
    np.testing.assert_allclose(from_planes(x, normalization), image, atol=1e-5)


CHANGES = {
    "invert(1)": planes.invert,
    "solarize(0.3, 1)": lambda x: planes.solarize(x, 0.3),
    "posterize(3, 1)": lambda x: planes.posterize(x, 32),
    "autocontrast(1)": planes.autocontrast,
    "equalize(1)": planes.equalize,
    "sharpness(1.6, 1)": lambda x: planes.sharpen(x, 1.6),
    "gray(1)": lambda x: jnp.broadcast_to(planes.gray(x), x.shape),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("text", CHANGES)
def test_changes_are_made_between_0_and_1(text, axes, channels):
    pixels, image, normalization = make(axes, channels)
    found = jax.jit(make_augmentation(text, normalization))(jax.random.key(0), image)
    expected = jax.jit(CHANGES[text])(np.moveaxis(pixels, -1, 0) / np.float32(255))
    np.testing.assert_allclose(
        np.moveaxis(unit(found, normalization), -1, 0), expected, atol=1e-5
    )


@pytest.mark.parametrize("text", ["invert(0.3)", "gray(0.3)", "flip(0.3)", "blur(3)"])
def test_probability(text):
    _, image, normalization = make()
    if text == "blur(3)":
        text = "blur(3, probability=0.3)"
    apply = make_augmentation(text, normalization)
    keys = jax.random.split(jax.random.key(0), 2000)
    y = np.asarray(jax.jit(jax.vmap(apply, (0, None)))(keys, image))
    same = (y == image).all((1, 2, 3))  # those that are left alone, bit for bit
    assert same.mean() == pytest.approx(0.7, abs=0.052)  # five standard deviations


@pytest.mark.parametrize("channels", [1, 3])
def test_color_jitter(channels):
    pixels, image, normalization = make(channels=channels)
    amounts = (0.4, 0.3, 1.5, 0.2)
    text = f"color_jitter{amounts}"
    apply = make_augmentation(text, normalization)
    for seed in range(3):
        key = jax.random.key(seed)
        draws = np.asarray(jax.random.uniform(key, (4,)))
        lows = [max(0, 1 - a) for a in amounts]
        b, c, s, _ = (
            low + (1 + a - low) * d
            for low, a, d in zip(lows, amounts, draws, strict=True)
        )
        x = np.clip(b * pixels / 255, 0, 1)
        weights = [0.299, 0.587, 0.114] if channels == 3 else [1]
        mean = (x @ weights).mean()
        x = np.clip(mean + c * (x - mean), 0, 1)
        if channels == 3:
            gray = (x @ weights)[..., None]
            x = np.clip(gray + s * (x - gray), 0, 1)
            for place in np.ndindex(x.shape[:-1]):
                hue, saturation, value = colorsys.rgb_to_hsv(*x[place])
                hue = (hue + 0.2 * (2 * draws[3] - 1)) % 1
                x[place] = colorsys.hsv_to_rgb(hue, saturation, value)
        found = apply(key, image)
        np.testing.assert_allclose(unit(found, normalization), x, atol=2e-5)


def test_jitter_of_nothing_is_the_identity():
    _, image, normalization = make()
    apply = make_augmentation("color_jitter(0)", normalization)
    np.testing.assert_array_equal(apply(jax.random.key(0), image), image)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_blur(axes):
    _, image, _ = make(axes)
    apply = jax.jit(make_blur(5, (0.3, 1.7)))
    for seed in range(3):
        key = jax.random.key(seed)
        width = jax.random.uniform(jax.random.split(key)[0], minval=0.3, maxval=1.7)
        taps = np.exp(-(np.arange(-2, 3) ** 2) / (2 * float(width) ** 2))
        x = image
        for axis in range(axes):
            x = ndimage.correlate1d(x, taps / taps.sum(), axis=axis, mode="mirror")
        np.testing.assert_allclose(apply(key, image), x, atol=1e-5)
