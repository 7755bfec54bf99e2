"""Random augmentation of training images, on the device, inside the step."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray, Shaped

_OWN = 0x0A46  # sets the keys of the user's functions apart from all others


def augment(
    key: PRNGKeyArray,
    images: Shaped[Array, "n *spatial c"],
    *,
    crop_padding: int,
    flip: bool,
) -> Shaped[Array, "n *spatial c"]:
    """Crops and flips each image at random.

    Args:
      key: random key of this step and device.
      images: normalized images with 1 to 3 spatial axes.
      crop_padding: pixels added on each side before the crop; 0 for no crop.
      flip: whether to flip the last spatial axis of half of the images.

    Raises:
      ValueError: if the padding is negative.
    """
    crop_key, flip_key = jax.random.split(key)
    if crop_padding:
        images = random_crop(crop_key, images, crop_padding)
    if flip:
        images = random_flip(flip_key, images)
    return images


def augment_each(
    functions: Sequence[Callable[..., Any]],
    key: PRNGKeyArray,
    images: Shaped[Array, "n *spatial c"],
    first: Any,
) -> Shaped[Array, "n *spatial c"]:
    """Applies each of ``functions``, ``(key, image) -> image``, to each image.

    An example's key is a function of its number within the batch, so that it is the
    same however the batch is divided.

    Args:
      functions: for one image; applied in order.
      key: random key of this step, for the whole batch.
      images: of one part of the batch.
      first: the number of the part's first example within the batch.
    """
    for number, function in enumerate(functions):
        own = jax.random.fold_in(jax.random.fold_in(key, _OWN), number)
        numbers = first + jnp.arange(len(images))
        keys = jax.vmap(jax.random.fold_in, (None, 0))(own, numbers)
        images = jax.vmap(function)(keys, images)
    return images


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
