"""Augmentation of a batch: crop and flip, then one function after the other."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, Shaped

from cnnjax.data.augmentation.crop_flip import random_crop, random_flip

_OWN = 0x0A46  # sets the keys of these functions apart from all others


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
