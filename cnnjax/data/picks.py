"""Numbers in the place of a batch's images, for devices that hold all images.

A number is that of the image within the training split; for an image that is mirrored
(see ``data/alternating_flip.py``), it is the number's bitwise complement, which is
negative.
"""

from typing import TYPE_CHECKING

import numpy as np

from cnnjax.typing import Array

if TYPE_CHECKING:
    import jax


def make_picks(numbers: np.ndarray, mirrored: np.ndarray | bool = False) -> np.ndarray:
    """The images with these numbers, int32 ``(b,)``.

    Args:
        numbers: within the training split.
        mirrored: whether each is mirrored, or all.
    """
    return np.where(mirrored, ~numbers, numbers).astype(np.int32)


def take(images: "jax.Array", picks: Array, *, alternates: bool) -> "jax.Array":
    """The picked images ``(b, *spatial, channels)``, bit for bit those of the host.

    Args:
        images: of the whole training split, on a device.
        picks: see ``make_picks``.
        alternates: whether some are mirrored.
    """
    import jax.numpy as jnp  # takes a moment, and loading a batch needs none of it

    mirrored = picks < 0
    numbers = jnp.where(mirrored, ~picks, picks) if alternates else picks
    found = images.at[numbers].get(mode="promise_in_bounds")
    if not alternates:
        return found
    mirrored = mirrored.reshape(-1, *[1] * (found.ndim - 1))
    return jnp.where(mirrored, found[..., ::-1, :], found)
