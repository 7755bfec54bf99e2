"""Alternating flip: each image is mirrored in every other epoch.

Whether an image is mirrored in the first epoch is random, and then it alternates from
epoch to epoch (Jordan 2024, arXiv:2404.00498). With a random flip, an image looks the
same in two consecutive epochs half of the time; here, two consecutive epochs always
show both versions of every image.
"""

import functools

import numpy as np

from cnnjax.typing import Images

_OWN = 0x0F11  # distinguishes these draws from all others that use the seed


def flip_alternately(
    images: Images, numbers: np.ndarray, epochs: np.ndarray, *, examples: int, seed: int
) -> Images:
    """Mirrors the last spatial axis (width) of those images whose turn it is.

    Args:
      images: ``(n, *spatial, channels)``.
      numbers: of these examples in the training split ``(n,)``.
      epochs: in which each is seen ``(n,)``, from 0.
      examples: how many the training split has.
      seed: of the run. Seed, number and epoch alone decide whether an image is
        mirrored, so a resumed run, or one on other devices, sees the same.
    """
    mirrored = are_mirrored(numbers, epochs, examples=examples, seed=seed)
    found = images.copy()
    found[mirrored] = images[mirrored][..., ::-1, :]
    return found


def are_mirrored(
    numbers: np.ndarray, epochs: np.ndarray, *, examples: int, seed: int
) -> np.ndarray:
    """Whether it is the turn of each image; see ``flip_alternately``."""
    return (_first_flips(examples, seed)[numbers] + epochs) % 2 == 1


@functools.lru_cache(maxsize=2)
def _first_flips(examples: int, seed: int) -> np.ndarray:
    """Whether each example is mirrored in epoch 0, as 0 or 1 ``(examples,)``."""
    bits = np.random.Philox(np.random.SeedSequence((seed, 0, _OWN)))
    flips = (bits.random_raw(examples) >> 63).astype(np.int64)
    flips.flags.writeable = False
    return flips
