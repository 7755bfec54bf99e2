"""Labels in Parquet tables: classes, lists of classes, vectors and numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnnjax.data.sources.labels import (
    number_labels,
    number_sets,
    read_flags,
    read_numbers,
)
from cnnjax.data.tasks import CLASSIFICATION, MULTILABEL, REGRESSION, UNKNOWN
from cnnjax.errors import DataError, show

Labels = tuple[str | None, np.ndarray, Sequence[str] | None]
"""What labels mean (``None`` if the loss decides), an array, and names for it."""


def label_columns(options: Mapping[str, str]) -> list[str]:
    """The columns that the options name, if each holds a part of the label.

    Raises:
      DataError: columns of labels and of numbers.
    """
    if "numbers" in options:
        if "label" in options:
            raise DataError(
                f"parquet: has the options numbers={options['numbers']} and"
                f" label={options['label']}: expected one of the two"
            )
        return [name.strip() for name in options["numbers"].split(",")]
    names = [name.strip() for name in options.get("label", "").split(",")]
    return names if len(names) > 1 else []


def number_values(
    values: Sequence[Any],
    names: Sequence[str] | None,
    options: Mapping[str, str],
    where: str,
) -> Labels:
    """The labels of all rows as an array.

    Args:
      values: of each row: what ``check_values`` returned, or a tuple of the columns
        that the options name.
      names: of the classes, if the table has them.
      options: of the source.
      where: what messages call the place of the labels.

    Raises:
      DataError: values that are not labels of one kind.
    """
    columns = label_columns(options)
    if columns:
        texts = [
            ["" if v is None else str(v) for v in column]
            for column in zip(*values, strict=True)
        ]
        if "numbers" in options:
            return REGRESSION, read_numbers(texts, where), columns
        return MULTILABEL, read_flags(texts, where), columns
    if any(isinstance(value, list) for value in values):
        return _number_lists(values, names, where)
    if any(isinstance(value, float) for value in values):
        return REGRESSION, read_numbers([[str(value) for value in values]], where), None
    labels, found = number_labels([str(value) for value in values], where)
    names = found or names
    return CLASSIFICATION if names else None, labels, names


def _number_lists(
    lists: Sequence[list[Any]], names: Sequence[str] | None, where: str
) -> Labels:
    """Lists of classes, or vectors: of floats, or of 0 and 1 with repetitions."""
    are_floats = any(isinstance(each, float) for row in lists for each in row)
    repeated = next((row for row in lists if len({*row}) < len(row)), None)
    if are_floats or repeated is not None:
        flags = all(each in (0, 1, UNKNOWN) for row in lists for each in row)
        if len({len(row) for row in lists}) > 1 or not (are_floats or flags):
            raise DataError(
                f"{where} has labels such as {show(repeated or lists[0])}: expected"
                " lists of different classes, or the same number of numbers in each row"
            )
        return None, np.array(lists), names
    labels, found = number_sets([{str(each) for each in row} for row in lists], where)
    if names is None:
        return MULTILABEL, labels, found
    whole = np.zeros((len(lists), len(names)), np.int8)
    for column, name in enumerate(found):
        whole[:, int(name)] = labels[:, column]
    return MULTILABEL, whole, names


def check_values(
    values: Sequence[Any], names: Sequence[str] | None, path: str, least: int = UNKNOWN
) -> Sequence[Any]:
    """Labels, or lists of labels; where the table names its classes, as their numbers.

    Raises:
      DataError: a label that is not a class number, a class name or a number, or lists
        mixed with other labels.
    """
    if any(isinstance(value, list) for value in values):
        lists = [[] if value is None else value for value in values]
        return [check_values(value, names, path, least=0) for value in lists]
    found = []
    for number, value in enumerate(values):
        is_name = isinstance(value, str)
        label = names.index(value) if names and value in names else value
        expected = None
        if type(value) not in (int, str, float):
            expected = "a class number, a class name or a number"
        elif names and not (isinstance(label, int) and least <= label < len(names)):
            last, count = len(names) - 1, len(names)
            expected = f"a number from 0 to {last}, as it names {count} classes"
            if is_name:
                expected = f"one of the names of its classes, {show(names)}"
        if expected:
            raise DataError(
                f"{path} has the label {show(value)} in row {number}: expected"
                f" {expected}"
            )
        found.append(label)
    return found
