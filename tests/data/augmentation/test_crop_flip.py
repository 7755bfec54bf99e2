"""Random crops and flips, held to slow NumPy references."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.data import augment, random_crop, random_flip
from cnnjax.data.augmentation import crop

SHAPES = [(6, 7, 2), (6, 5, 7, 3), (6, 3, 4, 5, 2)]
KEY = jax.random.key(0)


def make(shape):
    return jnp.arange(1, np.prod(shape) + 1, dtype=jnp.float32).reshape(shape)


def slow_crop(images, starts, padding):
    axes = images.ndim - 2
    padded = np.pad(images, [(0, 0)] + [(padding, padding)] * axes + [(0, 0)])
    return np.stack(
        [
            x[tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))]
            for x, start, size in zip(
                padded, starts, [images.shape[1:-1]] * len(images), strict=True
            )
        ]
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("padding", [0, 2, 9])
def test_crop(shape, padding):
    x = make(shape)
    draw = np.random.default_rng(0).integers
    starts = draw(0, 2 * padding + 1, (shape[0], len(shape) - 2))
    starts[0], starts[1] = 0, 2 * padding
    y = jax.jit(crop, static_argnums=2)(x, starts, padding)
    np.testing.assert_array_equal(y, slow_crop(np.asarray(x), starts, padding))


def test_every_offset_is_drawn_for_every_axis():
    images = jnp.zeros((4000, 5, 5, 1)).at[:, 2, 2].set(1)
    y = np.asarray(random_crop(KEY, images, 2))[..., 0]
    counts = y.sum(axis=0)
    assert counts.sum() == 4000
    # 25 places of 160 each; five standard deviations are 62.
    np.testing.assert_allclose(counts, 160, atol=62)


@pytest.mark.parametrize("shape", SHAPES)
def test_flip_mirrors_the_width(shape):
    x = make(shape)
    y = np.asarray(random_flip(KEY, x))
    for before, after in zip(np.asarray(x), y, strict=True):
        same = (before == after).all()
        assert same or (before[..., ::-1, :] == after).all()


def test_half_of_the_images_are_flipped():
    x = jnp.tile(jnp.arange(2.0)[:, None], (4000, 1, 1))
    assert np.asarray(random_flip(KEY, x))[:, 0].mean() == pytest.approx(0.5, abs=0.04)


def test_augment():
    x = make((8, 6, 5, 2))
    np.testing.assert_array_equal(augment(KEY, x, crop_padding=0, flip=False), x)
    y = augment(KEY, x, crop_padding=2, flip=True)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, augment(KEY, x, crop_padding=2, flip=True))
    other = augment(jax.random.key(1), x, crop_padding=2, flip=True)
    assert not np.array_equal(y, other)


def test_negative_padding_is_refused():
    with pytest.raises(ValueError, match="padding is -1"):
        augment(KEY, make((2, 3, 1)), crop_padding=-1, flip=False)
