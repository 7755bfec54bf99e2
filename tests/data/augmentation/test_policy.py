"""RandAugment and TrivialAugment: each operation against Pillow, and how they draw."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from cnnjax.data import Normalization
from cnnjax.data.augmentation import make_augmentation, policy
from tests.data.augmentation.test_planes import from_pillow, make, to_pillow

SHAPES = [(1, 9, 12), (3, 12, 9)]


def normalization(channels):
    mean, std = np.array([120, 0, 90.0]), np.array([60, 50, 40.0])
    return Normalization(*(a[:channels].astype(np.float32) for a in (mean, std)))


def moved(*matrix):
    """Pillow's transform; coordinates start at the top left corner."""

    def apply(image, v):
        size, rule = image.size, Image.Transform.AFFINE
        numbers = [number(v) if callable(number) else number for number in matrix]
        return image.transform(size, rule, numbers, Image.Resampling.BILINEAR)

    return apply


REFERENCES = {
    "identity": lambda x, v: x,
    "shear_x": moved(1, lambda v: v, 0, 0, 1, 0),
    "shear_y": moved(1, 0, 0, lambda v: v, 1, 0),
    "translate_x": moved(1, 0, lambda v: -v, 0, 1, 0),
    "translate_y": moved(1, 0, 0, 0, 1, lambda v: -v),
    "rotate": lambda x, v: x.rotate(math.degrees(v), Image.Resampling.BILINEAR),
    "brightness": lambda x, v: ImageEnhance.Brightness(x).enhance(1 + v),
    "color": lambda x, v: ImageEnhance.Color(x).enhance(1 + v),
    "contrast": lambda x, v: ImageEnhance.Contrast(x).enhance(1 + v),
    "sharpness": lambda x, v: ImageEnhance.Sharpness(x).enhance(1 + v),
    "posterize": lambda x, v: ImageOps.posterize(x, 8 - round(math.log2(max(v, 1)))),
    "solarize": lambda x, v: ImageOps.solarize(x, math.ceil(255 * v - 1e-3)),
    "autocontrast": lambda x, v: ImageOps.autocontrast(x),
    "equalize": lambda x, v: ImageOps.equalize(x),
}


APPLY = jax.jit(policy.apply_operation)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("level", [0, 9, 19, 30])
@pytest.mark.parametrize("name", policy.OPERATIONS)
def test_each_operation(name, level, shape):
    channels, height, width = shape
    number = policy.OPERATIONS.index(name)
    strength = policy._strengths((height, width, channels), wide=False)[number, level]
    black = Normalization(np.zeros(channels, np.float32), np.ones(channels, np.float32))
    x = make(shape)
    for negative in (False, True):
        found = APPLY(x / 255.0, number, strength, negative, black)
        signed = name in policy._MOVES + policy._ENHANCE
        v = float(-strength if negative and signed else strength)
        expected = from_pillow(REFERENCES[name](to_pillow(x), v))
        # Pillow rounds, and what the enhancements blend with, too.
        np.testing.assert_allclose(255 * np.asarray(found), expected, atol=2.01)


def test_the_strengths_are_those_of_torchvision():
    normal = np.asarray(policy._strengths((64, 48, 3), wide=False))
    wide = np.asarray(policy._strengths((64, 48, 3), wide=True))
    of = policy.OPERATIONS.index
    assert normal[of("shear_x"), 30] == pytest.approx(0.3)
    assert normal[of("translate_x"), 30] == math.floor(150 / 331 * 48)
    assert normal[of("translate_y"), 30] == math.floor(150 / 331 * 64)
    assert normal[of("rotate"), 10] == pytest.approx(math.radians(10))
    assert normal[of("posterize"), 9] == 2
    assert normal[of("solarize"), 9] == pytest.approx(178.5 / 255)
    assert wide[of("rotate"), 30] == pytest.approx(math.radians(135))
    assert wide[of("translate_x"), 15] == 16
    assert wide[of("posterize"), 30] == 64


def test_selecting_gives_what_branches_give():
    """On other devices than a CPU, a batch computes every branch and selects."""
    x = jnp.array(make((14, 3, 8, 9))) / 255
    strengths = policy._strengths((8, 9, 3), wide=False)[:, 12]

    def apply(x, number):
        return policy.apply_operation(
            x, number, strengths[number], number % 2 == 0, normalization(3)
        )

    together = jax.jit(jax.vmap(apply))(x, jnp.arange(14))
    for number in range(14):
        np.testing.assert_allclose(
            together[number], jax.jit(apply)(x[number], number), atol=1e-6
        )


@pytest.mark.slow
def test_other_platforms_than_a_cpu_select_instead_of_branching():
    apply = jax.vmap(make_augmentation("randaugment(1)", normalization(3)))
    keys = jax.random.key_data(jax.random.split(jax.random.key(0), 5))
    images = np.zeros((5, 8, 9, 3), np.float32)

    def branches(platform):
        traced = jax.jit(lambda k, x: apply(jax.random.wrap_key_data(k), x))
        lowered = traced.trace(keys, images).lower(lowering_platforms=(platform,))
        return lowered.as_text().count("stablehlo.case")

    assert branches("cpu") == branches("cuda") + 1
    assert branches("tpu") == branches("cuda")


@pytest.mark.slow
@pytest.mark.parametrize("text", ["randaugment(2, 9)", "trivialaugment"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_gives_what_its_images_give(text, channels):
    apply = make_augmentation(text, normalization(channels))
    images = np.random.default_rng(0).normal(size=(12, 7, 9, channels))
    images = images.astype(np.float32)
    keys = jax.random.split(jax.random.key(0), 12)
    together = jax.jit(jax.vmap(apply))(keys, images)
    alone = jax.jit(apply)
    for key, image, found in zip(keys, images, together, strict=True):
        np.testing.assert_allclose(found, alone(key, image), atol=1e-5)
    one_key = jax.jit(jax.vmap(apply, (None, 0)))(keys[0], images)
    np.testing.assert_allclose(one_key[3], alone(keys[0], images[3]), atol=1e-5)


def test_each_operation_is_drawn():
    numbers, levels, signs = jax.vmap(policy._draw)(
        jax.random.split(jax.random.key(0), 14_000)
    )
    counts = np.bincount(numbers, minlength=14)
    np.testing.assert_allclose(counts, 1000, atol=155)  # five standard deviations
    assert np.bincount(levels, minlength=31).min() > 340
    assert np.asarray(signs).mean() == pytest.approx(0.5, abs=0.02)
