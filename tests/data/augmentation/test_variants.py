"""The variants of test-time augmentation, against loops over pixels."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.data.augmentation import check_variants, make_variants, mean_logits
from cnnjax.errors import ConfigError

SHAPES = [(2, 7, 3), (2, 7, 5, 3), (2, 7, 5, 6, 3)]


def mirrored(images):
    """The last spatial axis turned around, pixel by pixel."""
    found = np.empty_like(images)
    width = images.shape[-2]
    for place in range(width):
        found[..., place, :] = images[..., width - 1 - place, :]
    return found


def moved(images, pixels):
    """Moved along all spatial axes; beyond the edge, the image is mirrored."""
    found = np.empty_like(images)
    sizes = images.shape[1:-1]
    for target in itertools.product(*map(range, sizes)):
        source = []
        for place, size in zip(target, sizes, strict=True):
            at = place - pixels
            at = -at if at < 0 else at
            source.append(2 * (size - 1) - at if at >= size else at)
        found[:, *target] = images[:, *source]
    return found


def forward(images):
    """Logits that depend on every pixel and its place."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    weights = np.sin(np.arange(flat.shape[1] * 4)).reshape(-1, 4)
    return flat @ weights


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("module", [np, jnp])
def test_the_mean_is_that_of_the_loops(shape, module):
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    plain, mirror = forward(images), forward(mirrored(images))
    one = (forward(moved(images, 3)) + forward(moved(images, -3))) / 4 + plain / 2
    turned = [mirrored(moved(images, pixels)) for pixels in (3, -3)]
    two = sum(map(forward, turned)) / 4 + mirror / 2
    expected = {
        (): plain,
        ("flip",): (plain + mirror) / 2,
        ("shift(3)",): one,
        ("flip", "shift(3)"): (one + two) / 2,
        ("shift(pixels=3)", "flip"): (one + two) / 2,
    }
    for names, logits in expected.items():
        variants = make_variants(names)
        found = mean_logits(
            lambda x: forward(np.asarray(x)), module.asarray(images), variants
        )
        np.testing.assert_allclose(found, logits, rtol=1e-12)
        assert sum(v.weight for v in variants) == (1 if names else 0)


def test_a_shift_must_fit_into_the_image():
    variants = make_variants(["shift(4)"])
    check_variants(variants, (5, 6, 1))
    with pytest.raises(ConfigError, match=r"^eval_augment: shift is 4, .* \(4, 6\)"):
        check_variants(variants, (4, 6, 1))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["rotate(3)"], "eval_augment: unknown augmentation 'rotate'"),
        (["flip", "flip()"], r"eval_augment is \('flip', 'flip\(\)'\), expected each"),
        (["shift(1.5)"], "pixels is 1.5, expected a whole number"),
        (["m:f"], r"'m:f' cannot be read, expected 'flip' or 'shift\(PIXELS\)'"),
    ],
)
def test_other_names_are_refused(names, message):
    with pytest.raises(ConfigError, match=message):
        make_variants(names)
