"""Random shifts, rotations, affine maps and resized crops, by linear interpolation.

Whole numbers, such as label maps, take the value of the nearest pixel instead.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Shaped

from cnnjax.config.rules import NOT_NEGATIVE, POSITIVE, SHARE, Rule
from cnnjax.data.augmentation.arguments import (
    Augmentation,
    check_axes,
    check_below_size,
    check_number,
    check_range,
)
from cnnjax.data.augmentation.erase import draw_box

DEGREES = Rule("a number of degrees from 0 to 180", lambda v: 0 <= v <= 180)
SHEAR = Rule("a number of degrees from 0 to just below 90", lambda v: 0 <= v < 90)
AREA = Rule("a share above 0, at most 1", lambda v: 0 < v <= 1)


def warp(
    planes: Shaped[Array, "c h w"], matrix: Any, fill: Any = 0
) -> Shaped[Array, "c h w"]:
    """Looks each pixel up where an affine map says, by bilinear interpolation.

    Of whole numbers, it takes the nearest pixel.

    Pixel ``(x, y)`` takes the value at ``(a x + b y + e, c x + d y + f)``. Coordinates
    are in pixels, those of the centers, and 0 is in the middle of the image. A pixel
    extends half its size beyond its center; places beyond those at the edge take
    ``fill``. This is the convention of Pillow's ``Image.transform``.

    Args:
        planes: one image, channels first.
        matrix: the numbers ``a, b, e, c, d, f``.
        fill: a number, or one for each channel, of shape ``(c, 1)``.
    """
    channels, height, width = planes.shape
    a, b, e, c, d, f = matrix
    x = jnp.arange(width) - (width - 1) / 2
    y = jnp.arange(height)[:, None] - (height - 1) / 2
    column = (a * x + b * y + e + (width - 1) / 2).ravel()
    row = (c * x + d * y + f + (height - 1) / 2).ravel()
    inside = (column >= -0.5) & (column < width - 0.5)
    inside &= (row >= -0.5) & (row < height - 0.5)
    left, top = jnp.floor(column), jnp.floor(row)
    right_share, bottom_share = column - left, row - top
    flat = jnp.asarray(planes).reshape(channels, height * width)

    def pick(down, right):
        i = jnp.clip(top.astype(jnp.int32) + down, 0, height - 1)
        j = jnp.clip(left.astype(jnp.int32) + right, 0, width - 1)
        return flat.at[:, i * width + j].get(mode="promise_in_bounds")

    if jnp.issubdtype(flat.dtype, jnp.integer):
        i = jnp.clip(jnp.floor(row + 0.5).astype(jnp.int32), 0, height - 1)
        j = jnp.clip(jnp.floor(column + 0.5).astype(jnp.int32), 0, width - 1)
        found = flat.at[:, i * width + j].get(mode="promise_in_bounds")
        return jnp.where(inside, found, fill).reshape(planes.shape)
    upper = (1 - right_share) * pick(0, 0) + right_share * pick(0, 1)
    lower = (1 - right_share) * pick(1, 0) + right_share * pick(1, 1)
    found = (1 - bottom_share) * upper + bottom_share * lower
    return jnp.where(inside, found, fill).reshape(planes.shape)


def _warp_image(image, matrix):
    return jnp.moveaxis(warp(jnp.moveaxis(image, -1, 0), matrix), 0, -1)


def make_translate(pixels: float) -> Augmentation:
    """Shifts an image by up to ``pixels`` along each of 1 to 3 spatial axes.

    The shift is any number, not only a whole one. Zeros come in at the edge.

    Args:
        pixels: the longest shift, less than the image's size.

    Raises:
        ConfigError: a negative shift, or, when applied, images that are too small.
    """
    check_number("pixels", pixels, NOT_NEGATIVE)

    def apply(key, image):
        sizes = image.shape[:-1]
        check_below_size("pixels", pixels, sizes)
        margin = math.ceil(pixels) + 1
        shifts = jax.random.uniform(key, (len(sizes),), minval=-pixels, maxval=pixels)
        places = margin + shifts
        starts = jnp.floor(places).astype(jnp.int32)
        padded = jnp.pad(image, [(margin, margin)] * len(sizes) + [(0, 0)])
        larger = (*(size + 1 for size in sizes), image.shape[-1])
        x = lax.dynamic_slice(padded, (*starts, 0), larger)
        for axis, (size, share) in enumerate(zip(sizes, places - starts, strict=True)):
            before = lax.slice_in_dim(x, 0, size, axis=axis)
            after = lax.slice_in_dim(x, 1, size + 1, axis=axis)
            if jnp.issubdtype(x.dtype, jnp.integer):
                x = jnp.where(share < 0.5, before, after)
                continue
            x = (1 - share) * before + share * after
        return x

    return apply


def make_rotate(degrees: float) -> Augmentation:
    """Rotates an image about its center by an angle from ``-degrees`` to ``degrees``.

    Args:
        degrees: the largest angle, from 0 to 180.

    Raises:
        ConfigError: another angle, or, when applied, images without 2 spatial axes.
    """
    return _make_affine("rotate", degrees, 0.0, (1.0, 1.0), 0.0)


def make_affine(
    degrees: float,
    translate: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    shear: float = 0.0,
) -> Augmentation:
    """Rotates, shifts, scales and shears an image at random, in one interpolation.

    The arguments are those of torchvision's ``RandomAffine``; all are drawn uniformly.

    Args:
        degrees: the largest angle of rotation about the center, from 0 to 180.
        translate: the longest shift along each axis, as a share of the image's size.
        scale: lowest and highest factor of the image's size.
        shear: the largest angle of the shear along the width, below 90 degrees.

    Raises:
        ConfigError: arguments out of range, or, when applied, images without 2 spatial
            axes.
    """
    return _make_affine("affine", degrees, translate, scale, shear)


def _make_affine(name, degrees, translate, scale, shear):
    check_number("degrees", degrees, DEGREES)
    check_number("translate", translate, SHARE)
    check_range("scale", scale, POSITIVE)
    check_number("shear", shear, SHEAR)

    def apply(key, image):
        check_axes(name, image.shape, (2,))
        height, width, _ = image.shape
        angle, right, down, size, slope = jax.random.uniform(key, (5,))
        angle = math.radians(degrees) * (2 * angle - 1)
        size = scale[0] + (scale[1] - scale[0]) * size
        slope = jnp.tan(math.radians(shear) * (2 * slope - 1))
        shifts = (
            translate * jnp.array([width, height]) * (2 * jnp.array([right, down]) - 1)
        )
        return _warp_image(image, inverse_matrix(angle, size, slope, shifts))

    return apply


def inverse_matrix(angle: Any, scale: Any, slope: Any, shifts: Any) -> tuple[Any, ...]:
    """The matrix for ``warp`` that shears, rotates, scales and then shifts.

    A point p moves to ``q = scale R S p + shifts``, with the rotation R and the shear
    ``S = [[1, slope], [0, 1]]``. So q shows what was at ``S^-1 R^-1 (q - shifts) /
    scale``.
    """
    cos, sin = jnp.cos(angle) / scale, jnp.sin(angle) / scale
    a, b, c, d = cos + slope * sin, sin - slope * cos, -sin, cos
    right, down = shifts
    return a, b, -(a * right + b * down), c, d, -(c * right + d * down)


def make_resized_crop(
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (0.75, 1.3333333),
) -> Augmentation:
    """Takes a crop of random size and shape, and resizes it to the original size.

    Introduced by Szegedy et al. 2015 (arXiv 1409.4842); the arguments are those of
    torchvision's ``RandomResizedCrop``.

    Args:
        scale: lowest and highest area of the crop, as a share of the image's.
        ratio: lowest and highest ratio of the crop's width to its height.

    Raises:
        ConfigError: arguments out of range, or, when applied, images without 2 spatial
            axes.
    """
    check_range("scale", scale, AREA)
    check_range("ratio", ratio, POSITIVE)

    def apply(key, image):
        check_axes("resized_crop", image.shape, (2,))
        height, width, _ = image.shape
        inverted = (1 / ratio[1], 1 / ratio[0])
        fits, top, left, rows, columns = draw_box(key, (height, width), scale, inverted)
        a = jnp.where(fits, columns / width, 1.0)
        d = jnp.where(fits, rows / height, 1.0)
        e = jnp.where(fits, left + (columns - width) / 2, 0.0)
        f = jnp.where(fits, top + (rows - height) / 2, 0.0)
        return _warp_image(image, (a, 0.0, e, 0.0, d, f))

    return apply
