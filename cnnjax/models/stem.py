"""The start of a network: what it takes, and stems for large or small images."""

from collections.abc import Sequence

import jax

KINDS = {1: "1-D signals", 2: "2-D images", 3: "3-D volumes"}
"""What a network takes, by the number of spatial axes."""

STEMS = ("cifar", "imagenet")


def is_small(stem: str) -> bool:
    """Whether ``stem`` is the one for small images, which keeps their size.

    Raises:
        ValueError: an unknown stem.
    """
    if stem not in STEMS:
        raise ValueError(f"stem is {stem!r}, expected one of {', '.join(STEMS)}")
    return stem == "cifar"


def check_rank(x: jax.Array, rank: int = 2) -> None:
    """Refuses an array with the wrong number of spatial axes.

    Raises:
        ValueError: ``x`` is not ``(batch, *spatial, channels)`` with ``rank`` spatial
            axes.
    """
    if x.ndim != rank + 2:
        raise ValueError(
            f"x has shape {x.shape}, expected {KINDS[rank]} of {rank + 2} axes"
        )


def check_stages(blocks: Sequence[int], widths: Sequence[int]) -> None:
    """Refuses stages that do not each have a number of blocks and a width.

    Raises:
        ValueError: no stage, or ``blocks`` and ``widths`` of different lengths.
    """
    if not blocks or len(blocks) != len(widths):
        raise ValueError(
            f"blocks is {blocks} and widths is {widths}, expected one entry per stage"
            " in each, and at least one stage"
        )
