"""Augmentations by name: what texts mean, and which are refused."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

from cnnjax.data import Normalization, augment_each
from cnnjax.data.augmentation import make_augmentation, needs_pixels
from cnnjax.data.augmentation.parse import AUGMENTATIONS
from cnnjax.errors import ConfigError

PAGE = Path(__file__).parents[3] / "docs" / "augmentation.md"
NORMALIZATION = Normalization(
    np.array([120, 115, 100], np.float32), np.array([60, 61, 65], np.float32)
)
TEXTS = (
    "affine(10, 0.1, scale=(0.8, 1.2), shear=5)",
    "autocontrast",
    "blur(3)",
    "color_jitter(0.4, 0.4, 0.4, 0.1)",
    "cutout(3)",
    "equalize",
    "erase(0.5)",
    "flip",
    "gray(0.5)",
    "invert",
    "posterize(4)",
    "randaugment(2, 9)",
    "random_crop(2, reflect)",
    "resized_crop((0.3, 1))",
    "rotate(15)",
    "sharpness(2)",
    "solarize(0.5)",
    "translate(1.5)",
    "trivialaugment",
    "vertical_flip",
)
ALL_AXES = (
    *("autocontrast", "blur", "color_jitter", "cutout", "equalize", "flip", "gray"),
    *("invert", "posterize", "random_crop", "sharpness", "solarize", "translate"),
)


def name_of(text):
    return text.partition("(")[0]


def test_each_augmentation_is_tried():
    others = {"cutmix", "mixup"}  # see test_mix.py
    others |= {"alternating_flip"}  # see test_alternating_flip.py
    assert [name_of(text) for text in TEXTS] == sorted({*AUGMENTATIONS} - others)


@pytest.mark.slow
@pytest.mark.parametrize("text", TEXTS)
def test_splitting_a_batch_changes_nothing(text):
    functions = [make_augmentation(text, NORMALIZATION)]
    images = np.random.default_rng(0).normal(size=(8, 7, 9, 3)).astype(np.float32)
    key = jax.random.key(3)

    @jax.jit
    def apply(images, first, key=key):
        return augment_each(functions, key, images, first)

    whole = np.asarray(apply(images, 0))
    assert whole.shape == images.shape
    assert whole.dtype == np.float32
    parts = [apply(images[start : start + 2], start) for start in (0, 2, 4, 6)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    np.testing.assert_array_equal(whole, apply(images, 0))
    other = apply(images, 0, jax.random.key(4))
    assert not np.array_equal(whole, other)


@pytest.mark.parametrize("axes", [1, 3])
@pytest.mark.parametrize("text", TEXTS)
def test_other_numbers_of_axes_work_or_are_refused(text, axes):
    image = jax.ShapeDtypeStruct((*(8, 7, 6)[:axes], 3), np.float32)
    apply = make_augmentation(text, NORMALIZATION)
    name = name_of(text)
    if name in ALL_AXES or (name == "vertical_flip" and axes == 3):
        assert jax.eval_shape(apply, jax.random.key(0), image).shape == image.shape
        return
    message = f"{name} needs images with 2.* spatial axes, and these have {axes}"
    with pytest.raises(ConfigError, match=message):
        jax.eval_shape(apply, jax.random.key(0), image)


@pytest.mark.parametrize(
    "text", ["color_jitter(0, 0.1)", "gray", "randaugment", "trivialaugment"]
)
def test_other_numbers_of_channels_are_refused(text):
    two = Normalization(NORMALIZATION.mean[:2], NORMALIZATION.std[:2])
    image = np.zeros((5, 6, 2), np.float32)
    with pytest.raises(ConfigError, match=r"3 \(red, green, blue\), and these have 2"):
        make_augmentation(text, two)(jax.random.key(0), image)


def test_which_need_pixels():
    found = {name for text in TEXTS if needs_pixels(text) for name in [name_of(text)]}
    assert found == {
        "autocontrast",
        "color_jitter",
        "equalize",
        "invert",
        "posterize",
        "randaugment",
        "sharpness",
        "solarize",
        "trivialaugment",
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("flip", " flip( ) "),
        ("flip", "flip(0.5)"),
        ("random_crop(2, edge)", "random_crop(mode='edge', padding=2)"),
        ("erase(1, (0.1, 0.2))", "erase(1, [0.1, 0.2], ratio=(0.3, 3.3))"),
    ],
)
def test_the_same_in_other_words(one, other):
    image = np.random.default_rng(0).random((7, 6, 3), np.float32)
    for seed in range(3):
        key = jax.random.key(seed)
        first, second = (make_augmentation(text)(key, image) for text in (one, other))
        np.testing.assert_array_equal(first, second)


READ = "cannot be read, expected one name, such as 'flip'"
VALUE = "expected a number, a word, or a tuple"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flp", "unknown augmentation 'flp'; did you mean 'flip'?"),
        ("random_crop", r"expected random_crop(padding, mode=constant)"),
        ("random_crop(1, edge, 3)", "too many positional arguments"),
        ("flip(share=0.5)", "unexpected keyword argument 'share'"),
        ("gray(normalization=1)", "expected gray(probability=0.1)"),
        ("random_crop(-1)", "padding is -1, expected a whole number, 0 or more"),
        ("random_crop(1.5)", "padding is 1.5, expected a whole number"),
        ("random_crop(2, mirror)", "mode is 'mirror', expected constant or edge"),
        ("flip(True)", "probability is True, expected a number from 0 to 1"),
        ("solarize(1e999)", "threshold is inf, expected a number from 0 to 1"),
        ("rotate(181)", "degrees is 181, expected a number of degrees"),
        ("affine(1, shear=90)", "shear is 90, expected a number of degrees"),
        ("affine(1, 0, 0.9)", "scale is 0.9, expected (lowest, highest), each"),
        ("resized_crop((0.9, 0.1))", "scale is (0.9, 0.1), expected (lowest"),
        ("erase(1, (0, 1))", "scale is (0, 1), expected (lowest, highest), each a"),
        ("cutout(0)", "size is 0, expected a whole number from 1"),
        ("posterize(9)", "bits is 9, expected a whole number from 1 to 8"),
        ("color_jitter(0, hue=1)", "hue is 1, expected a number from 0 to 0.5"),
        ("blur(4)", "kernel_size is 4, expected an odd whole number"),
        ("randaugment(2, 31)", "magnitude is 31, expected a whole number from 0 to"),
        ("randaugment(0)", "operations is 0, expected a whole number from 1 to 14"),
        ("translate(x)", "pixels is 'x', expected a number from 0"),
        ("flip(__import__('os'))", VALUE),
        ("flip(*[1])", VALUE),
        ("flip(**{})", READ),
        ("flip, flip", READ),
        ("a.flip()", READ),
        ("flip(", READ),
        ("", READ),
        ("(" * 400, READ),
        ("flip" * 1000, READ),
    ],
)
def test_refused(text, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        make_augmentation(text)


@pytest.mark.parametrize("text", ["random_crop(5)", "translate(5)", "blur(11)"])
def test_more_than_the_image_is_refused(text):
    image = np.zeros((9, 5, 1), np.float32)
    with pytest.raises(ConfigError, match="is 5, expected less than the images' size"):
        make_augmentation(text)(jax.random.key(0), image)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
@pytest.mark.parametrize("shape", [(7, 2), (6, 5, 3), (4, 3, 5, 1)])
def test_random_crop(mode, shape):
    image = np.random.default_rng(0).random(shape, np.float32)
    sizes = shape[:-1]
    apply = make_augmentation(f"random_crop(2, {mode})")
    for seed in range(5):
        key = jax.random.key(seed)
        starts = np.asarray(jax.random.randint(key, (len(sizes),), 0, 5))
        padded = np.pad(image, [(2, 2)] * len(sizes) + [(0, 0)], mode)
        places = zip(starts, sizes, strict=True)
        expected = padded[tuple(slice(s, s + n) for s, n in places)]
        np.testing.assert_array_equal(apply(key, image), expected)


def test_flips():
    image = np.random.default_rng(0).random((3, 4, 5, 2), np.float32)
    key = jax.random.key(0)
    for text, axis in (("flip(1)", 2), ("vertical_flip(1)", 1)):
        found = make_augmentation(text)(key, image)
        np.testing.assert_array_equal(found, np.flip(image, axis))


def test_the_page_lists_each_augmentation_with_its_arguments():
    rows = re.findall(r"^\| `(.*?)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(map(name_of, rows)) == sorted(AUGMENTATIONS)
    for row in rows:
        with pytest.raises(ConfigError) as caught:
            make_augmentation(f"{name_of(row)}(nothing=0)")
        assert str(caught.value).rpartition("expected ")[2].removesuffix("()") == row
