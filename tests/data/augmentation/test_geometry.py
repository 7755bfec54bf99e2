"""Affine maps against Pillow, shifts against SciPy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from cnnjax.data.augmentation.geometry import (
    make_affine,
    make_resized_crop,
    make_rotate,
    make_translate,
    warp,
)

SHAPES = [(1, 7, 5), (3, 6, 11)]


def make(shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def slow_warp(x, matrix):
    """Pillow's transform of each plane; its coordinates start at the corner."""
    _, height, width = x.shape
    a, b, e, c, d, f = map(float, matrix)
    e += width / 2 - a * width / 2 - b * height / 2
    f += height / 2 - c * width / 2 - d * height / 2
    coefficients = (a, b, e, c, d, f)
    return np.stack(
        [
            Image.fromarray(plane).transform(
                (width, height),
                Image.Transform.AFFINE,
                coefficients,
                Image.Resampling.BILINEAR,
            )
            for plane in x
        ]
    )


def slow_matrix(angle, scale, shear, shifts):
    """The inverse of the forward map."""
    rotation = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    forward = np.eye(3)
    forward[:2, :2] = scale * np.array(rotation) @ [[1, math.tan(shear)], [0, 1]]
    forward[:2, 2] = shifts
    return np.linalg.inv(forward)[:2].ravel()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(5))
def test_warp(shape, seed):
    x = make(shape)
    draw = np.random.default_rng(seed)
    matrix = draw.normal([1, 0, 0, 0, 1, 0], [0.3, 0.3, 2, 0.3, 0.3, 2])
    found = jax.jit(warp)(x, tuple(matrix.astype(np.float32)))
    np.testing.assert_allclose(found, slow_warp(x, matrix), atol=1e-5)


def test_warp_fills_each_channel():
    x = make((3, 4, 5))
    y = warp(x, (1, 0, 9.0, 0, 1, 0), jnp.array([[1.0], [2.0], [3.0]]))
    np.testing.assert_array_equal(y, np.broadcast_to([[[1]], [[2]], [[3]]], x.shape))


@pytest.mark.slow
def test_the_identity_is_exact():
    x = make((3, 4, 5))
    np.testing.assert_array_equal(warp(x, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)), x)
    image = make((4, 5, 2))
    for same in (
        make_rotate(0),
        make_affine(0),
        make_resized_crop((1, 1), (1.25, 1.25)),
        make_translate(0),
    ):
        np.testing.assert_array_equal(same(jax.random.key(0), image), image)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_affine(channels, seed):
    image, key = make((9, 6, channels)), jax.random.key(seed)
    angle, right, down, scale, shear = np.asarray(jax.random.uniform(key, (5,)))
    shifts = [0.2 * 6 * (2 * right - 1), 0.2 * 9 * (2 * down - 1)]
    matrix = slow_matrix(
        math.radians(40) * (2 * angle - 1),
        0.7 + 0.6 * scale,
        math.radians(20) * (2 * shear - 1),
        shifts,
    )
    found = make_affine(40, 0.2, (0.7, 1.3), 20)(key, image)
    expected = slow_warp(np.moveaxis(image, -1, 0), matrix)
    np.testing.assert_allclose(found, np.moveaxis(expected, 0, -1), atol=1e-4)
    turned = slow_warp(
        np.moveaxis(image, -1, 0),
        slow_matrix(math.radians(15) * (2 * angle - 1), 1, 0, [0, 0]),
    )
    found = make_rotate(15)(key, image)
    np.testing.assert_allclose(found, np.moveaxis(turned, 0, -1), atol=1e-4)


@pytest.mark.parametrize("shape", [(9, 2), (6, 8, 1), (5, 4, 6, 3)])
@pytest.mark.parametrize("pixels", [0.7, 3])
def test_translate(shape, pixels):
    image, key = make(shape), jax.random.key(3)
    draws = jax.random.uniform(key, (len(shape) - 1,), minval=-pixels, maxval=pixels)
    expected = ndimage.shift(
        image, [*-np.asarray(draws), 0], order=1, mode="grid-constant"
    )
    found = jax.jit(make_translate(pixels))(key, image)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_resized_crop_shows_a_part():
    """A ramp stays a ramp; its slopes tell the size of the crop."""
    height, width = 24, 18
    ramp = np.stack(np.mgrid[:height, :width], -1).astype(np.float32)
    apply = jax.jit(make_resized_crop((0.3, 0.6), (0.5, 2.0)))
    for seed in range(20):
        y = np.asarray(apply(jax.random.key(seed), ramp))
        rows = (y[12, 9, 0] - y[11, 9, 0]) * height
        columns = (y[12, 9, 1] - y[12, 8, 1]) * width
        assert rows == pytest.approx(round(rows), abs=1e-3)
        assert columns == pytest.approx(round(columns), abs=1e-3)
        assert 0.25 < rows * columns / (height * width) < 0.66
        assert 0.45 < columns / rows < 2.2
        assert y.min() >= 0
        assert y[..., 0].max() <= height - 1
        assert y[..., 1].max() <= width - 1
