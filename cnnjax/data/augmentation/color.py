"""Random changes of the colors of one image, and blur.

Most of these need to know what black and white are. So they take the normalization of
images whose pixels are from 0 to 255, undo it, work on pixels from 0 to 1, and
normalize again.
"""

from typing import Any

import jax
import jax.numpy as jnp

from cnnjax.config.rules import NOT_NEGATIVE, POSITIVE, SHARE, Rule
from cnnjax.data.augmentation import planes
from cnnjax.data.augmentation.arguments import (
    Augmentation,
    check_below_size,
    check_channels,
    check_number,
    check_range,
    check_whole,
    happens,
)
from cnnjax.data.normalization import Normalization

HUE = Rule("a number from 0 to 0.5", lambda v: 0 <= v <= 0.5)
BITS = Rule("a whole number from 1 to 8", lambda v: 1 <= v <= 8)
ODD = Rule("an odd whole number, 1 or more", lambda v: v >= 1 and v % 2 == 1)


def to_planes(image: Any, normalization: Normalization) -> Any:
    """A normalized image as planes ``(channels, *spatial)`` of pixels from 0 to 1."""
    mean, std = _columns(image, normalization)
    return jnp.clip((jnp.moveaxis(image, -1, 0) * std + mean) / 255, 0, 1)


def from_planes(x: Any, normalization: Normalization) -> Any:
    """The inverse of ``to_planes``."""
    mean, std = _columns(x, normalization)
    return jnp.moveaxis((255 * x - mean) / std, 0, -1)


def _columns(x, normalization):
    return (a.reshape(-1, *[1] * (x.ndim - 1)) for a in normalization)


def make_color_jitter(
    brightness: float,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
    *,
    normalization: Normalization,
) -> Augmentation:
    """Changes brightness, contrast, saturation and hue at random, in this order.

    Factors and ranges are those of torchvision's ``ColorJitter``, which draws the order
    too. Each of the first three is multiplied by a number from ``1 - x`` (but not below
    0) to ``1 + x``; the hue is turned by a share of the circle from ``-hue`` to
    ``hue``. Saturation and hue leave gray images as they are.

    Args:
        brightness: 0 or more.
        contrast: 0 or more.
        saturation: 0 or more.
        hue: from 0 to 0.5.
        normalization: of the images.

    Raises:
        ConfigError: arguments out of range, or, when applied, saturation or hue for
            images that have neither 1 nor 3 channels.
    """
    amounts = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    for name, value in amounts.items():
        check_number(name, value, NOT_NEGATIVE)
    check_number("hue", hue, HUE)
    changes = (planes.brighten, planes.contrast, planes.saturate)

    def apply(key, image):
        if contrast or saturation or hue:
            check_channels("color_jitter", image.shape[-1])
        draws = jax.random.uniform(key, (4,))
        x = to_planes(image, normalization)
        for amount, change, draw in zip(amounts.values(), changes, draws, strict=False):
            if amount:
                low = max(0.0, 1 - amount)
                x = change(x, low + (1 + amount - low) * draw)
        if hue:
            x = planes.shift_hue(x, hue * (2 * draws[3] - 1))
        return from_planes(x, normalization) if any((*amounts.values(), hue)) else image

    return apply


def make_gray(
    probability: float = 0.1, *, normalization: Normalization
) -> Augmentation:
    """Takes the colors away, with a probability.

    All channels become the luminance (ITU-R 601), as in torchvision's
    ``RandomGrayscale``.

    Args:
        probability: from 0 to 1.
        normalization: of the images.

    Raises:
        ConfigError: another probability, or, when applied, images that have neither 1
            nor 3 channels.
    """
    check_number("probability", probability, SHARE)

    def apply(key, image):
        check_channels("gray", image.shape[-1])
        mean, std = normalization
        x = jnp.moveaxis(image * std + mean, -1, 0)
        y = (jnp.moveaxis(planes.gray(x), 0, -1) - mean) / std
        return jnp.where(happens(key, probability), y, image)

    return apply


def make_invert(
    probability: float = 0.5, *, normalization: Normalization
) -> Augmentation:
    """Takes the negative, with a probability.

    Args:
        probability: from 0 to 1.
        normalization: of the images.

    Raises:
        ConfigError: another probability.
    """
    return _make_sometimes(planes.invert, probability, normalization)


def make_solarize(
    threshold: float, probability: float = 0.5, *, normalization: Normalization
) -> Augmentation:
    """Takes the negative of all pixels from a threshold on, with a probability.

    Args:
        threshold: from 0 (black) to 1 (white).
        probability: from 0 to 1.
        normalization: of the images.

    Raises:
        ConfigError: arguments out of range.
    """
    check_number("threshold", threshold, SHARE)
    return _make_sometimes(
        lambda x: planes.solarize(x, threshold), probability, normalization
    )


def make_posterize(
    bits: int, probability: float = 0.5, *, normalization: Normalization
) -> Augmentation:
    """Keeps only the highest bits of each pixel, with a probability.

    Args:
        bits: how many of 8 to keep.
        probability: from 0 to 1.
        normalization: of the images.

    Raises:
        ConfigError: arguments out of range.
    """
    check_whole("bits", bits, BITS)
    return _make_sometimes(
        lambda x: planes.posterize(x, 2 ** (8 - bits)), probability, normalization
    )


def make_autocontrast(
    probability: float = 0.5, *, normalization: Normalization
) -> Augmentation:
    """Stretches each channel to the full range, with a probability.

    Args:
        probability: from 0 to 1.
        normalization: of the images.

    Raises:
        ConfigError: another probability.
    """
    return _make_sometimes(planes.autocontrast, probability, normalization)


def make_equalize(
    probability: float = 0.5, *, normalization: Normalization
) -> Augmentation:
    """Equalizes the histogram of each channel, with a probability.

    Args:
        probability: from 0 to 1.
        normalization: of the images.

    Raises:
        ConfigError: another probability.
    """
    return _make_sometimes(planes.equalize, probability, normalization)


def make_sharpness(
    factor: float, probability: float = 0.5, *, normalization: Normalization
) -> Augmentation:
    """Sharpens an image, or smooths it, with a probability.

    Args:
        factor: 0 smooths, 1 changes nothing, 2 sharpens.
        probability: from 0 to 1.
        normalization: of the images.

    Raises:
        ConfigError: arguments out of range.
    """
    check_number("factor", factor, NOT_NEGATIVE)
    return _make_sometimes(
        lambda x: planes.sharpen(x, factor), probability, normalization
    )


def _make_sometimes(change, probability, normalization):
    check_number("probability", probability, SHARE)

    def apply(key, image):
        y = from_planes(change(to_planes(image, normalization)), normalization)
        return jnp.where(happens(key, probability), y, image)

    return apply


def make_blur(
    kernel_size: int,
    sigma: tuple[float, float] = (0.1, 2.0),
    probability: float = 1.0,
) -> Augmentation:
    """Blurs 1 to 3 spatial axes with a Gaussian of random width, with a probability.

    The arguments are those of torchvision's ``GaussianBlur``. Beyond the edge, the
    image is mirrored.

    Args:
        kernel_size: length of the filter, odd.
        sigma: lowest and highest standard deviation of the Gaussian, in pixels.
        probability: from 0 to 1.

    Raises:
        ConfigError: arguments out of range, or, when applied, images that are no larger
            than half of the filter.
    """
    check_whole("kernel_size", kernel_size, ODD)
    check_range("sigma", sigma, POSITIVE)
    check_number("probability", probability, SHARE)
    radius = kernel_size // 2

    def apply(key, image):
        sizes = image.shape[:-1]
        check_below_size("half of kernel_size", radius, sizes)
        width_key, chosen_key = jax.random.split(key)
        low, high = sigma
        width = jax.random.uniform(width_key, minval=low, maxval=high)
        taps = jnp.exp(-0.5 * jnp.square(jnp.arange(-radius, radius + 1) / width))
        taps = taps / taps.sum()
        x = image
        for axis, size in enumerate(sizes):
            widths = [(0, 0)] * image.ndim
            widths[axis] = (radius, radius)
            padded = jnp.pad(x, widths, "reflect")
            x = sum(
                tap * jax.lax.slice_in_dim(padded, i, i + size, axis=axis)
                for i, tap in enumerate(taps)
            )
        return jnp.where(happens(chosen_key, probability), x, image)

    return apply
