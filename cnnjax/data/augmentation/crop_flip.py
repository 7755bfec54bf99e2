"""Random crops and flips, for images with 1 to 3 spatial axes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray, Shaped

from cnnjax.config.rules import COUNT, SHARE
from cnnjax.data.augmentation.arguments import (
    Augmentation,
    check_axes,
    check_below_size,
    check_number,
    check_whole,
    check_word,
    happens,
)

MODES = ("constant", "edge", "reflect", "symmetric")


def random_crop(
    key: PRNGKeyArray, images: Shaped[Array, "n *spatial c"], padding: int
) -> Shaped[Array, "n *spatial c"]:
    """Shifts each image by up to ``padding`` pixels along each spatial axis.

    Pads with zeros and takes a crop of the original size at a random position per
    image. Normalize first, so that zero is the mean of the training images.

    Args:
      key: random key.
      images: images with 1 to 3 spatial axes.
      padding: pixels on each side, 0 or more.

    Raises:
      ValueError: if the padding is negative.
    """
    if padding < 0:
        raise ValueError(f"padding is {padding}: expected 0 or more pixels")
    shape = (len(images), images.ndim - 2)
    return crop(images, jax.random.randint(key, shape, 0, 2 * padding + 1), padding)


def crop(
    images: Shaped[Array, "n *spatial c"], starts: Int[Array, "n axes"], padding: int
) -> Shaped[Array, "n *spatial c"]:
    """Pads images with zeros and crops each to its original size.

    Args:
      images: images with spatial axes 1 to ``axes``.
      starts: where each crop starts in the padded image, 0 to ``2 * padding``.
      padding: pixels on each side of each spatial axis.
    """
    axes = images.ndim - 2
    padded = jnp.pad(images, [(0, 0), *[(padding, padding)] * axes, (0, 0)])

    def crop_one(image, start):
        return jax.lax.dynamic_slice(image, (*start, 0), images.shape[1:])

    # Selecting among all shifted batches takes three times as long, even on a CPU.
    return jax.vmap(crop_one)(padded, starts)


def random_flip(
    key: PRNGKeyArray, images: Shaped[Array, "n *spatial c"]
) -> Shaped[Array, "n *spatial c"]:
    """Mirrors the last spatial axis (width) of each image with probability 1/2.

    Args:
      key: random key.
      images: images with 1 to 3 spatial axes.
    """
    mirrored = jax.random.bernoulli(key, shape=(len(images),))
    mirrored = mirrored.reshape(-1, *[1] * (images.ndim - 1))
    return jnp.where(mirrored, jnp.flip(images, axis=-2), images)


def make_random_crop(padding: int, mode: str = "constant") -> Augmentation:
    """Pads an image and takes a crop of the original size at a random position.

    Args:
      padding: pixels on each side, less than the image's size.
      mode: what the padding holds, as in torchvision's ``RandomCrop``: zeros
        (``"constant"``), the pixels at the edge (``"edge"``), or the image mirrored
        without (``"reflect"``) or with them (``"symmetric"``).

    Raises:
      ConfigError: a padding or a mode that does not exist.
    """
    check_whole("padding", padding, COUNT)
    check_word("mode", mode, MODES)

    def apply(key, image):
        sizes = image.shape[:-1]
        check_below_size("padding", padding, sizes)
        widths = [(padding, padding)] * len(sizes) + [(0, 0)]
        padded = jnp.pad(image, widths, mode)
        starts = jax.random.randint(key, (len(sizes),), 0, 2 * padding + 1)
        return jax.lax.dynamic_slice(padded, (*starts, 0), image.shape)

    return apply


def make_flip(probability: float = 0.5) -> Augmentation:
    """Mirrors the last spatial axis (width) with a probability.

    Args:
      probability: from 0 to 1.

    Raises:
      ConfigError: another probability.
    """
    check_number("probability", probability, SHARE)
    return lambda key, image: _flip(key, image, probability, -2)


def make_vertical_flip(probability: float = 0.5) -> Augmentation:
    """Mirrors the height of images with 2 or 3 spatial axes with a probability.

    Args:
      probability: from 0 to 1.

    Raises:
      ConfigError: another probability, or, when applied, images without a height.
    """
    check_number("probability", probability, SHARE)

    def apply(key, image):
        check_axes("vertical_flip", image.shape, (2, 3))
        return _flip(key, image, probability, -3)

    return apply


class AlternatingFlip(NamedTuple):
    """Mirrors the last spatial axis (width) of each image in every other epoch.

    Only what loads a batch knows the examples and their epochs, so it mirrors them: see
    ``cnnjax.data.TrainBatches``.
    """


def _flip(key, image, probability, axis):
    mirrored = happens(key, probability)
    return jnp.where(mirrored, jnp.flip(image, axis), image)
