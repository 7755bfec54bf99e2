"""Random erasing and cutout: parts of an image become zero, the mean."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from cnnjax.config.rules import POSITIVE, SHARE, SIZE, Rule
from cnnjax.data.augmentation.arguments import (
    Augmentation,
    check_axes,
    check_number,
    check_range,
    check_whole,
    happens,
)

AREA = Rule("a share above 0, at most 1", lambda v: 0 < v <= 1)
TRIES = 10
"""How many boxes are drawn until one fits."""


def draw_box(
    key: Any, sizes: tuple[int, int], scale: Any, ratio: Any
) -> tuple[Any, Any, Any, Any, Any]:
    """A box within an image: whether one fits, its top, left, height and width.

    Of ``TRIES`` boxes, the first that fits is taken.

    Args:
        key: random key.
        sizes: height and width of the image.
        scale: lowest and highest area, as a share of the image's; drawn uniformly.
        ratio: lowest and highest ratio of height to width; its logarithm is drawn
            uniformly.
    """
    height, width = sizes
    area_key, ratio_key, place_key = jax.random.split(key, 3)
    low, high = scale
    areas = (
        height * width * jax.random.uniform(area_key, (TRIES,), minval=low, maxval=high)
    )
    low, high = map(math.log, ratio)
    ratios = jnp.exp(jax.random.uniform(ratio_key, (TRIES,), minval=low, maxval=high))
    rows, columns = (
        jnp.round(jnp.sqrt(areas * ratios)),
        jnp.round(jnp.sqrt(areas / ratios)),
    )
    fit = (rows >= 1) & (columns >= 1) & (rows <= height) & (columns <= width)
    first = jnp.argmax(fit)
    rows, columns = rows[first], columns[first]
    down, right = jax.random.uniform(place_key, (2,))
    top = jnp.floor(down * (height - rows + 1))
    left = jnp.floor(right * (width - columns + 1))
    return fit.any(), top, left, rows, columns


def within(start: Any, size: Any, length: int) -> Bool[Array, " length"]:
    """Whether each of ``length`` places is one of ``size`` places from ``start`` on."""
    places = jnp.arange(length)
    return (places >= start) & (places < start + size)


def make_erase(
    probability: float = 0.5,
    scale: tuple[float, float] = (0.02, 0.33),
    ratio: tuple[float, float] = (0.3, 3.3),
) -> Augmentation:
    """Sets a random rectangle to zero, with a probability.

    Random erasing (Zhong et al. 2017, arXiv 1708.04896), with the arguments of
    torchvision's ``RandomErasing``.

    Args:
        probability: from 0 to 1.
        scale: lowest and highest area of the rectangle, as a share of the image's.
        ratio: lowest and highest ratio of the rectangle's height to its width.

    Raises:
        ConfigError: arguments out of range, or, when applied, images without 2 spatial
            axes.
    """
    check_number("probability", probability, SHARE)
    check_range("scale", scale, AREA)
    check_range("ratio", ratio, POSITIVE)

    def apply(key, image):
        check_axes("erase", image.shape, (2,))
        height, width, _ = image.shape
        chosen_key, box_key = jax.random.split(key)
        chosen = happens(chosen_key, probability)
        fits, top, left, rows, columns = draw_box(
            box_key, (height, width), scale, ratio
        )
        erased = within(top, rows, height)[:, None] & within(left, columns, width)
        return jnp.where((chosen & fits & erased)[..., None], 0, image)

    return apply


def make_cutout(size: int) -> Augmentation:
    """Sets a square about a random pixel to zero; the image's edge may cut it off.

    Cutout (DeVries and Taylor 2017, arXiv 1708.04552). With 1 or 3 spatial axes, it
    is an interval or a cube.

    Args:
        size: length of its sides, in pixels.

    Raises:
        ConfigError: a size that is not 1 or more.
    """
    check_whole("size", size, SIZE)

    def apply(key, image):
        sizes = image.shape[:-1]
        centers = jax.random.randint(key, (len(sizes),), 0, jnp.array(sizes))
        cut = jnp.ones((), bool)
        for center, length in zip(centers, sizes, strict=True):
            cut = cut[..., None] & within(center - size // 2, size, length)
        return jnp.where(cut[..., None], 0, image)

    return apply
