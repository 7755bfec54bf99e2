"""Labels and splits as texts in a file: class numbers, and which split they mean."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np

from cnnjax.data.tasks import UNKNOWN
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
_UNKNOWN = str(UNKNOWN)
_FLAGS = {"0": 0, "1": 1, "false": 0, "true": 1, "": UNKNOWN, _UNKNOWN: UNKNOWN}


def number_labels(
    texts: Sequence[str], where: str
) -> tuple[np.ndarray, list[str] | None]:
    """Class numbers ``(n,)``, and the class names if the labels are not numbers.

    Whole numbers are class numbers themselves. Other texts are class names, numbered
    in alphabetical order. The label -1 stands for an unknown class.

    Args:
      texts: one label per example.
      where: what messages call the place of the labels.

    Raises:
      DataError: an empty label.
    """
    for number, text in enumerate(texts):
        if not text.strip():
            raise DataError(f"{where} has no label for example {number}")
    texts = [_whole(text.strip()) for text in texts]
    known = {text for text in texts if text != _UNKNOWN}
    numbers = {_UNKNOWN: UNKNOWN}
    if all(text.isdecimal() and len(text) <= _MOST_DIGITS for text in known):
        numbers |= {text: int(text) for text in known}
        return np.array([numbers[text] for text in texts], np.int64), None
    if all(map(_is_number, known)):
        raise DataError(
            f"{where} has the labels {show(sorted(known))}, which are neither class"
            " numbers nor names: for regression, name the column, as in"
            " ?numbers=COLUMN"
        )
    names = sorted(known)
    numbers |= {name: number for number, name in enumerate(names)}
    labels = [numbers.get(text, UNKNOWN) for text in texts]
    return np.array(labels, np.int64), names


def _whole(text: str) -> str:
    """Converts "3.0" to "3": pandas writes integers so if some are missing."""
    head, _, tail = text.rpartition(".")
    return head if head.lstrip("-").isdecimal() and not tail.strip("0") else text


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text))) and "_" not in text
    except ValueError:
        return False


def number_sets(
    sets: Sequence[Collection[str]], where: str
) -> tuple[np.ndarray, list[str]]:
    """Whether each example has each class ``(n, classes)``, and the class names.

    The names are in alphabetical order, or in that of the numbers if all are numbers.

    Args:
      sets: the classes of each example as texts; empty ones are left out.
      where: what messages call the place of the labels.

    Raises:
      DataError: no class at all.
    """
    sets = [{text.strip() for text in members} - {""} for members in sets]
    for number, members in enumerate(sets):
        if _UNKNOWN in members and len(members) > 1:
            raise DataError(
                f"{where} has the labels {show(sorted(members))} for example {number}:"
                " expected -1 alone, for unknown classes"
            )
    found = set().union(*sets) - {_UNKNOWN}
    if not found:
        raise DataError(f"{where} has no labels: expected names of classes")
    are_numbers = all(text.isdecimal() and len(text) <= _MOST_DIGITS for text in found)
    names = sorted(found, key=int) if are_numbers else sorted(found)
    columns = {name: number for number, name in enumerate(names)}
    labels = np.zeros((len(sets), len(names)), np.int8)
    for row, members in enumerate(sets):
        if _UNKNOWN in members:
            labels[row] = UNKNOWN
            continue
        for text in members:
            labels[row, columns[text]] = 1
    return labels, names


def read_numbers(columns: Sequence[Sequence[str]], where: str) -> np.ndarray:
    """Columns of numbers as texts, as one array ``(n, columns)``.

    Raises:
      DataError: a text that is not a finite number.
    """
    numbers = np.empty((len(columns[0]), len(columns)), np.float64)
    for i, column in enumerate(columns):
        for row, text in enumerate(column):
            numbers[row, i] = float(text) if _is_number(text) else np.nan
            if np.isnan(numbers[row, i]):
                raise DataError(
                    f"{where} has the value {show(text)} for example {row}: expected a"
                    " finite number; remove the row if it is unknown"
                )
    return numbers


def read_flags(columns: Sequence[Sequence[str]], where: str) -> np.ndarray:
    """Columns of 0 and 1 as texts, as one array ``(n, columns)``; -1 for unknown ones.

    Raises:
      DataError: another text.
    """
    flags = np.empty((len(columns[0]), len(columns)), np.int8)
    for i, column in enumerate(columns):
        for row, text in enumerate(column):
            value = _FLAGS.get(_whole(text.strip()).lower())
            if value is None:
                raise DataError(
                    f"{where} has the label {show(text)} for example {row}: expected 0"
                    " or 1, or -1 or an empty cell if it is unknown; for numbers, name"
                    " the columns with 'numbers'"
                )
            flags[row, i] = value
    return flags


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
