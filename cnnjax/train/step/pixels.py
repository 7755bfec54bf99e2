"""Label maps in a step: moved with their images, then one example per pixel."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from cnnjax.data import Batch, augment, augment_each
from cnnjax.data.tasks import UNKNOWN
from cnnjax.typing import Array

if TYPE_CHECKING:
    from cnnjax.train.step.train_step import TrainStep


def move_maps(
    step: "TrainStep", labels: Array, augment_key: jax.Array, key: jax.Array, first: Any
) -> Array:
    """Moves label maps exactly as augmentation moves their images.

    The same keys draw the same crops, flips and maps. Augmentations take the nearest
    pixel of whole numbers, and what they fill in is ignored.

    Args:
        step: what augments.
        labels: ``(n, *spatial)``, as they are stored.
        augment_key: of crop and flip, see ``TrainStep.inputs``.
        key: of the step.
        first: the number of the part's first example within the batch.
    """
    # Augmentation fills in 0, which has to become the label of an ignored pixel.
    maps = (jnp.asarray(labels, jnp.int32) - UNKNOWN)[..., None]
    basic = {"crop_padding": step.crop_padding, "flip": step.flip}
    maps = augment(augment_key, maps, **basic)
    pairs = zip(step.augmentations, step.moves, strict=True)
    functions = [function if moves else _leave for function, moves in pairs]
    return augment_each(functions, key, maps, first)[..., 0] + UNKNOWN


def _leave(key, image):
    return image


def as_pixels(batch: Batch) -> Batch:
    """A batch with label maps whose weights are per pixel, ``(n, *spatial)``.

    The weight of a pixel to ignore, and of all those of padding, is 0; its label
    becomes 0. Sums over a batch are then sums over its labeled pixels.
    """
    labels = jnp.asarray(batch.labels, jnp.int32)
    weights = batch.weights.reshape(-1, *[1] * (labels.ndim - 1)) * (labels >= 0)
    return batch._replace(labels=jnp.maximum(labels, 0), weights=weights)
