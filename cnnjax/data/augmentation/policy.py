"""RandAugment and TrivialAugment: a few operations, drawn anew for each image.

A round takes one of 14 operations, as branches of a ``switch``. A batch computes all of
them for all images and selects, which suits a GPU. A CPU takes one image after the
other instead, and computes only what each needs.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap

from cnnjax.config.rules import Rule
from cnnjax.data.augmentation import planes
from cnnjax.data.augmentation.arguments import (
    Augmentation,
    check_axes,
    check_channels,
    check_whole,
)
from cnnjax.data.augmentation.color import from_planes, to_planes
from cnnjax.data.augmentation.geometry import warp
from cnnjax.data.normalization import Normalization

OPERATIONS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
)
_LEVELS = 31
_NUMBER = {name: number for number, name in enumerate(OPERATIONS)}
_MOVES, _ENHANCE = OPERATIONS[1:6], OPERATIONS[6:10]
ROUNDS = Rule("a whole number from 1 to 14", lambda v: 1 <= v <= len(OPERATIONS))
LEVEL = Rule(f"a whole number from 0 to {_LEVELS - 1}", lambda v: 0 <= v < _LEVELS)


def make_randaugment(
    operations: int = 2, magnitude: int = 9, *, normalization: Normalization
) -> Augmentation:
    """Applies a few random operations of the same strength.

    RandAugment (Cubuk et al. 2019, arXiv 1909.13719), with the operations and strengths
    of torchvision's, but bilinear interpolation.

    Args:
        operations: how many, one after the other; the same may come twice.
        magnitude: their strength, from 0 to 30.
        normalization: of the images.

    Raises:
        ConfigError: arguments out of range, or, when applied, images without 2 spatial
            axes or with neither 1 nor 3 channels.
    """
    check_whole("operations", operations, ROUNDS)
    check_whole("magnitude", magnitude, LEVEL)

    def apply(key, image):
        _check("randaugment", image)
        strengths = _strengths(image.shape, wide=False)[:, magnitude]
        x = to_planes(image, normalization)
        for round_key in jax.random.split(key, operations):
            number, _, sign = _draw(round_key)
            x = apply_operation(x, number, strengths[number], sign, normalization)
        return from_planes(x, normalization)

    return _one_by_one_on_cpu(apply)


def make_trivialaugment(*, normalization: Normalization) -> Augmentation:
    """Applies one random operation of random strength.

    TrivialAugment (Müller and Hutter 2021, arXiv 2103.10158), with the wide range of
    strengths, as torchvision's ``TrivialAugmentWide``, but bilinear interpolation.

    Args:
        normalization: of the images.

    Raises:
        ConfigError: when applied, images without 2 spatial axes or with neither 1 nor 3
            channels.
    """

    def apply(key, image):
        _check("trivialaugment", image)
        number, level, sign = _draw(key)
        strength = _strengths(image.shape, wide=True)[number, level]
        x = to_planes(image, normalization)
        x = apply_operation(x, number, strength, sign, normalization)
        return from_planes(x, normalization)

    return _one_by_one_on_cpu(apply)


def _check(name, image):
    check_axes(name, image.shape, (2,))
    check_channels(name, image.shape[-1])


def _draw(key):
    """The number of an operation, a level, and whether its strength is negative."""
    number_key, level_key, sign_key = jax.random.split(key, 3)
    return (
        jax.random.randint(number_key, (), 0, len(OPERATIONS)),
        jax.random.randint(level_key, (), 0, _LEVELS),
        jax.random.bernoulli(sign_key),
    )


def _strengths(shape: tuple[int, ...], *, wide: bool) -> jax.Array:
    """The strength of each operation at each level, ``(operations, levels)``.

    Shears are slopes, shifts whole pixels, rotations radians, enhancements what is
    added to the factor 1, ``posterize`` the distance of the values that remain, and
    ``solarize`` the threshold.
    """
    height, width, _ = shape
    share = np.linspace(0, 1, _LEVELS)
    bits = 8 - np.round(share * (6 if wide else 4))
    right, down = (32, 32) if wide else (150 / 331 * width, 150 / 331 * height)
    enhance = share * (0.99 if wide else 0.9)
    shear = share * (0.99 if wide else 0.3)
    found = {
        "shear_x": shear,
        "shear_y": shear,
        "translate_x": np.floor(share * right),
        "translate_y": np.floor(share * down),
        "rotate": share * math.radians(135 if wide else 30),
        "brightness": enhance,
        "color": enhance,
        "contrast": enhance,
        "sharpness": enhance,
        "posterize": 2 ** (8 - bits),
        "solarize": 1 - share,
    }
    nothing = np.zeros(_LEVELS)
    return jnp.array([found.get(name, nothing) for name in OPERATIONS], jnp.float32)


def apply_operation(
    x: planes.Planes, number: Any, strength: Any, negative: Any, normalization: Any
) -> planes.Planes:
    """Applies one of ``OPERATIONS`` to an image.

    Args:
        x: planes of pixels from 0 to 1.
        number: of the operation.
        strength: see ``_strengths``.
        negative: whether shears, shifts, rotations and enhancements are negative.
        normalization: whose mean fills what becomes empty.
    """
    signed = jnp.array([name in _MOVES or name in _ENHANCE for name in OPERATIONS])
    strength = jnp.where(signed[number] & negative, -strength, strength)
    amounts = jnp.where(number == jnp.arange(len(OPERATIONS)), strength, 0)

    def move(x):
        moved = {name: amounts[_NUMBER[name]] for name in _MOVES}
        return _move(x, moved, (normalization.mean / 255)[:, None])

    branches = {
        "identity": lambda x: x,
        "brightness": lambda x: planes.brighten(x, 1 + strength),
        "color": lambda x: planes.saturate(x, 1 + strength),
        "contrast": lambda x: planes.contrast(x, 1 + strength),
        "sharpness": lambda x: planes.sharpen(x, 1 + strength),
        "posterize": lambda x: planes.posterize(x, jnp.maximum(strength, 1)),
        "solarize": lambda x: planes.solarize(x, strength),
        "autocontrast": planes.autocontrast,
        "equalize": planes.equalize,
        "move": move,
    }
    names = ["move" if name in _MOVES else name for name in OPERATIONS]
    numbers = jnp.array([list(branches).index(name) for name in names])
    return lax.switch(numbers[number], list(branches.values()), x)


def _move(x, amounts, fill):
    """All moves in one map, of which at most one is not zero."""
    _, height, width = x.shape
    cos, sin = jnp.cos(amounts["rotate"]), jnp.sin(amounts["rotate"])
    # Shears keep the top left corner where it is, as in Pillow.
    shear_x, shear_y = amounts["shear_x"], amounts["shear_y"]
    right = shear_x * height / 2 - amounts["translate_x"]
    down = shear_y * width / 2 - amounts["translate_y"]
    return warp(x, (cos, shear_x - sin, right, sin + shear_y, cos, down), fill)


def _one_by_one_on_cpu(function: Augmentation) -> Augmentation:
    """The same function, whose ``vmap`` is a loop over the images on a CPU."""
    alone, batch = custom_vmap(function), jax.vmap(function)

    def loop(keys, images):
        return lax.map(lambda one: function(*one), (keys, images))

    @alone.def_vmap
    def _(size, batched, key, image):
        if not all(batched):
            key, image = (
                x if is_batched else jnp.broadcast_to(x, (size, *x.shape))
                for x, is_batched in zip((key, image), batched, strict=True)
            )
        return lax.platform_dependent(key, image, cpu=loop, default=batch), True

    return alone
