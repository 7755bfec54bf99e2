"""Random augmentation of training images, on the device, inside the step.

An augmentation is a pure function ``(key, image) -> image`` of one normalized image,
float32 ``(*spatial, channels)``. Factories ``make_*`` check its arguments; ``parse.py``
maps the texts of the setting ``data.augment`` to them. Zero is the mean of the training
images, which fills what a shift or a rotation leaves empty.
"""

from cnnjax.data.augmentation.batch import augment, augment_each
from cnnjax.data.augmentation.crop_flip import (
    AlternatingFlip,
    crop,
    random_crop,
    random_flip,
)
from cnnjax.data.augmentation.mix import Mixing, mix, partner
from cnnjax.data.augmentation.parse import (
    check_takes_maps,
    make_augmentation,
    moves_pixels,
    needs_pixels,
)
from cnnjax.data.augmentation.variants import (
    Variant,
    check_variants,
    make_variants,
    mean_logits,
)

__all__ = [
    "AlternatingFlip",
    "Mixing",
    "Variant",
    "augment",
    "augment_each",
    "check_takes_maps",
    "check_variants",
    "crop",
    "make_augmentation",
    "make_variants",
    "mean_logits",
    "mix",
    "moves_pixels",
    "needs_pixels",
    "partner",
    "random_crop",
    "random_flip",
]
