"""Mixup and CutMix: pairs of images are mixed, and so are their losses.

The examples 2i and 2i + 1 of a batch are a pair. Both are mixed with the other, with
the same share s of themselves:

    mixup     x' = s x + (1 - s) x_other       s ~ Beta(alpha, alpha)
    CutMix    x' = x, but x_other inside a box   s = 1 - the box's share of the area

The target of the mixed example is s for its own class and 1 - s for the other one. As
the cross-entropy is linear in the target, its loss is

    s loss(logits, label) + (1 - s) loss(logits, label_other)

which is how it is computed, for any loss. Papers: arXiv:1710.09412, arXiv:1905.04899.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from cnnjax.config.rules import POSITIVE
from cnnjax.data.augmentation.arguments import check_number
from cnnjax.errors import ConfigError

_OWN = 0x3142  # sets the keys of mixing apart from all others


class Mixing(NamedTuple):
    """How pairs of images are mixed.

    Attributes:
        kind: ``"mixup"`` or ``"cutmix"``.
        alpha: both parameters of the beta distribution of the shares.
    """

    kind: str
    alpha: float


def make_mixup(alpha: float = 0.2) -> Mixing:
    """Mixes images pixel by pixel.

    Args:
        alpha: above 0; the larger, the more even the shares.

    Raises:
        ConfigError: another value.
    """
    check_number("alpha", alpha, POSITIVE)
    return Mixing("mixup", float(alpha))


def make_cutmix(alpha: float = 1.0) -> Mixing:
    """Replaces a box by that of the other image.

    Args:
        alpha: above 0; with 1, all sizes of the box are equally likely.

    Raises:
        ConfigError: another value.
    """
    check_number("alpha", alpha, POSITIVE)
    return Mixing("cutmix", float(alpha))


def mix(
    mixings: Sequence[Mixing],
    key: Any,
    images: Shaped[Array, "n *spatial c"],
    first: Any,
) -> tuple[Shaped[Array, "n *spatial c"], Float[Array, " n"]]:
    """Mixes the pairs of a batch, each in one of some ways, chosen at random.

    What is drawn for a pair is a function of its number within the batch, so that it is
    the same however the batch is divided.

    Args:
      mixings: the ways, equally likely.
      key: random key of this step, for the whole batch.
      images: of one part of the batch.
      first: the number of the part's first example within the batch.

    Returns:
      The mixed images, and the share of itself that each has.

    Raises:
      ConfigError: an odd number of images, which leaves one without a partner.
    """
    if len(images) % 2:
        raise ConfigError(
            f"data.augment mixes pairs of images, but each device gets {len(images)} at"
            " a time, expected an even number: change batch_size, or accumulate_steps"
        )
    own = jax.random.fold_in(key, _OWN)
    numbers = (first + jnp.arange(0, len(images), 2)) // 2
    keys = jax.vmap(jax.random.fold_in, (None, 0))(own, numbers)
    spatial = images.shape[1:-1]
    others, shares = jax.vmap(lambda key: _draw(mixings, key, spatial))(keys)
    # (pairs, *spatial): how much of each pixel comes from the other image.
    others = jnp.repeat(others, 2, axis=0)[..., None]
    mixed = images + others * (partner(images) - images)
    return mixed.astype(images.dtype), jnp.repeat(shares, 2)


def partner(values: Array) -> Array:
    """Of each example's value, that of the other one in its pair."""
    pairs = values.reshape(-1, 2, *values.shape[1:])
    return pairs[:, ::-1].reshape(values.shape)


def _draw(mixings, key, spatial):
    """For one pair: the other's share in each pixel, and one's own in the image."""
    choice, key = jax.random.split(key)
    which = jax.random.randint(choice, (), 0, len(mixings))
    drawn = [_draw_one(mixing, key, spatial) for mixing in mixings]
    return jax.tree.map(lambda *options: jnp.stack(options)[which], *drawn)


def _draw_one(mixing, key, spatial):
    share_key, box_key = jax.random.split(key)
    share = jax.random.beta(share_key, mixing.alpha, mixing.alpha)
    if mixing.kind == "mixup":
        return jnp.full(spatial, 1 - share), share
    inside = jnp.ones(spatial, bool)
    scale = (1 - share) ** (1 / len(spatial))
    centers = jax.random.uniform(box_key, (len(spatial),))
    for axis, (size, center) in enumerate(zip(spatial, centers, strict=True)):
        length = jnp.floor(size * scale)
        middle = jnp.floor(size * center)
        low, high = middle - jnp.floor(length / 2), middle + jnp.ceil(length / 2)
        pixels = jnp.arange(size).reshape(-1, *[1] * (len(spatial) - 1 - axis))
        inside &= (pixels >= low) & (pixels < high)
    return inside.astype(jnp.float32), 1 - inside.mean()
