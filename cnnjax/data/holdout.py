"""Holding out examples from the training split, class by class."""

from collections.abc import Mapping

import numpy as np

from cnnjax.data.permutation import permutation
from cnnjax.errors import DataError


def check_fraction(name: str, fraction: float, *, needed: bool) -> None:
    """Checks the share of train that becomes a split.

    Args:
      name: the split, ``"validation"`` or ``"test"``.
      fraction: its share of train.
      needed: whether the source lacks this split; if it has one, 0 is allowed.

    Raises:
      DataError: if the fraction is not within (0, 1).
    """
    if 0 < fraction < 1 or (fraction == 0 and not needed):
        return
    why = f" because the source has no {name} split of its own" if needed else ""
    raise DataError(
        f"{name}_fraction is {fraction}: expected a number between 0 and 1{why}"
    )


def hold_out(
    labels: np.ndarray, fractions: Mapping[str, float], seed: int
) -> dict[str, np.ndarray]:
    """Splits examples at random, with the same proportions in each class.

    From a class with c examples, a part gets ``c * fraction`` of them, rounded, and at
    least one; train keeps the rest, at least one.

    Args:
      labels: class numbers ``(n,)``; train keeps all examples of the class -1, which
        is unknown.
      fractions: share of each part. Earlier parts do not depend on later ones.
      seed: non-negative integer.

    Returns:
      Indices of the examples of each part and of ``"train"``, in ascending order.

    Raises:
      DataError: if a class has too few examples.
    """
    order = permutation(len(labels), seed)
    order = order[np.argsort(labels[order], kind="stable")]
    classes, counts = np.unique(labels, return_counts=True)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in [*fractions, "train"]}
    members = np.split(order, np.cumsum(counts)[:-1])
    for label, indices in zip(classes.tolist(), members, strict=True):
        if label < 0:
            parts["train"].append(indices)
            continue
        sizes = [max(1, round(len(indices) * f)) for f in fractions.values()]
        if sum(sizes) >= len(indices):
            shares = " and ".join(f"{f} for {name}" for name, f in fractions.items())
            have = f"class {label} has" if len(classes) > 1 else "there are"
            raise DataError(
                f"{have} {len(indices)} training examples: too few to hold out {shares}"
                " and keep one; use smaller fractions or add examples"
            )
        pieces = np.split(indices, np.cumsum(sizes))
        for part, piece in zip(parts.values(), pieces, strict=True):
            part.append(piece)
    return {name: np.sort(np.concatenate(pieces)) for name, pieces in parts.items()}
