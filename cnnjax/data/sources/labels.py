"""Labels and splits as texts in a file: class numbers, and which split they mean."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from cnnjax.errors import DataError, show

SPLIT_NAMES = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
"""The names that folders, files and columns give to a split, and that split."""

_MOST_DIGITS = 9


def number_labels(
    texts: Sequence[str], where: str
) -> tuple[np.ndarray, list[str] | None]:
    """Class numbers ``(n,)``, and the class names if the labels are not numbers.

    Whole numbers are class numbers themselves. Other texts are class names, numbered
    in alphabetical order.

    Args:
      texts: one label per example.
      where: what messages call the place of the labels.

    Raises:
      DataError: an empty label.
    """
    for number, text in enumerate(texts):
        if not text.strip():
            raise DataError(f"{where} has an empty label, that of example {number}")
    if any(text.strip() == "-1" for text in texts):
        raise DataError(
            f"{where} has the label -1, which often stands for an example without a"
            " label: remove these examples"
        )
    if all(text.isdecimal() and len(text) <= _MOST_DIGITS for text in texts):
        return np.array([int(text) for text in texts], np.int64), None
    names = sorted({*texts})
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers[text] for text in texts], np.int64), names


def split_files(paths: Sequence[str]) -> dict[str, list[str]]:
    """Files by the split that they are named after, such as ``train-00001.tar``.

    Files with other names are for training.
    """
    found: dict[str, list[str]] = {}
    for path in paths:
        found.setdefault(_split_of_name(Path(path).name) or "train", []).append(path)
    return found


def _split_of_name(name: str) -> str | None:
    for known, split in SPLIT_NAMES.items():
        rest = name.lower().removeprefix(known)
        if len(rest) < len(name) and not rest[:1].isalpha():
            return split
    return None


def group_by_split(values: Iterable[str], where: str) -> dict[str, np.ndarray]:
    """The numbers of the examples of each split, by the texts of a column.

    Raises:
      DataError: a text that names no split, or no training examples.
    """
    members: dict[str, list[int]] = {}
    for number, value in enumerate(values):
        split = SPLIT_NAMES.get(value.strip().lower())
        if split is None:
            raise DataError(
                f"{where} has the split {show(value)}: expected"
                f" {', '.join(SPLIT_NAMES)}"
            )
        members.setdefault(split, []).append(number)
    if "train" not in members:
        raise DataError(f"{where} has no examples of the split 'train'")
    return {split: np.array(numbers) for split, numbers in members.items()}
