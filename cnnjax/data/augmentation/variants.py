"""Test-time augmentation: the mean of the logits of an image and its variants.

The network sees each image several times, mirrored or shifted, and its logits are
averaged with the weights below (Jordan 2024, arXiv:2404.00498; with both names, his
``tta_level=2``):

    flip        1/2 the image, 1/2 its mirror image
    shift(k)    1/2 the image, 1/4 shifted by k pixels toward the first corner, and 1/4
                toward the last; pixels beyond the edge are filled by reflection

With both, each image is shifted, then mirrored, and the weights are multiplied, in
whatever order the names are given. The mean of logits, unlike that of probabilities, is
again a vector of logits, which every loss and every metric takes. For a softmax, it
corresponds to the normalized geometric mean of the probabilities.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnjax.config.rules import SIZE
from cnnjax.data.augmentation.arguments import check_below_size, check_whole
from cnnjax.data.augmentation.parse import make_from_text
from cnnjax.errors import ConfigError, show
from cnnjax.typing import Array, Images


class Variant(NamedTuple):
    """One of the ways in which the network sees an image.

    Attributes:
        weight: of its logits in the mean.
        change: from images ``(n, *spatial, channels)``, normalized or not, as a NumPy
            or a JAX array, to images of the same shape.
    """

    weight: float
    change: Callable[[Images], Images]


def make_variants(
    names: Sequence[str], setting: str = "eval_augment"
) -> tuple[Variant, ...]:
    """The variants for some names; none without names.

    Args:
        names: such as ``("flip", "shift(2)")``, each at most once.
        setting: where they come from, for messages.

    Raises:
        ConfigError: no such name, or arguments that it does not take.

    Example:
        >>> [variant.weight for variant in make_variants(["flip"])]
        [0.5, 0.5]
    """
    found = {}
    for name in names:
        try:
            found[_kind(name)] = make_from_text(name, VARIANTS, EXPECTED)
        except ConfigError as error:
            raise ConfigError(f"{setting}: {error}") from error
    if len(found) < len(names):
        raise ConfigError(
            f"{setting} is {show(tuple(names))}, expected each name at most once"
        )
    if len(found) < 2:
        return tuple(*found.values())
    return tuple(_chain(a, b) for a in found["shift"] for b in found["flip"])


def check_variants(variants: Sequence[Variant], shape: Sequence[int]) -> None:
    """Refuses variants that images ``(*spatial, channels)`` cannot have.

    Raises:
        ConfigError: a shift as large as the image.
    """
    images = np.zeros((1, *shape), np.uint8)
    for variant in variants:
        try:
            variant.change(images)
        except ConfigError as error:
            raise ConfigError(f"eval_augment: {error}") from error


def mean_logits(
    forward: Callable[[Images], Array], images: Images, variants: Sequence[Variant]
) -> Array:
    """The weighted mean of the logits of the variants of each image.

    Args:
        forward: from images to logits ``(n, classes)``.
        images: ``(n, *spatial, channels)``.
        variants: see ``make_variants``; without any, the logits are those of the
            images as they are.
    """
    if not variants:
        return forward(images)
    first, *others = (v.weight * forward(v.change(images)) for v in variants)
    return sum(others, first)


def _kind(text: str) -> str:
    return text.partition("(")[0].strip()


def _chain(one: Variant, two: Variant) -> Variant:
    return Variant(one.weight * two.weight, lambda x: two.change(one.change(x)))


def _flips() -> list[Variant]:
    """An image and its mirror image along the last spatial axis."""
    return [Variant(0.5, lambda x: x), Variant(0.5, lambda x: x[..., ::-1, :])]


def _shifts(pixels: int) -> list[Variant]:
    """An image, and the image shifted along all spatial axes, in both directions.

    Args:
        pixels: how far, less than the image's size.
    """
    check_whole("pixels", pixels, SIZE)
    return [
        Variant(0.5, lambda x: x),
        Variant(0.25, lambda x: _shift(x, pixels)),
        Variant(0.25, lambda x: _shift(x, -pixels)),
    ]


def _shift(images: Images, pixels: int) -> Images:
    sizes = images.shape[1:-1]
    check_below_size("shift", abs(pixels), sizes)
    for axis, size in enumerate(sizes, 1):
        places = np.abs(np.arange(size) + pixels)
        images = images.take(size - 1 - np.abs(size - 1 - places), axis)
    return images


EXPECTED = "'flip' or 'shift(PIXELS)', such as 'shift(1)'"
VARIANTS: dict[str, Callable[..., Any]] = {"flip": _flips, "shift": _shifts}
"""The function that makes the variants for each name."""
