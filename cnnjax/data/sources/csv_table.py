"""A CSV table of image files and labels."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnjax.data.dataset import SPLITS, RawDataset
from cnnjax.data.decoding import read_bytes
from cnnjax.data.encoded_images import EncodedImages
from cnnjax.data.sources.argument import parse_argument
from cnnjax.data.sources.labels import (
    group_by_split,
    number_labels,
    number_sets,
    read_flags,
    read_numbers,
)
from cnnjax.data.stamps import stamp
from cnnjax.data.tasks import CLASSIFICATION, MULTILABEL, REGRESSION
from cnnjax.errors import DataError, show
from cnnjax.files import open_regular

_COLUMNS = {
    "path": ("path", "file", "filename", "image"),
    "label": ("label", "class", "target"),
    "split": ("split",),
}
_OPTIONS = (*_COLUMNS, "numbers", "root", "separator")


def load_csv(argument: str) -> RawDataset:
    """Finds image files by a table with a header; none of them is read yet.

    Columns are called ``path`` (or ``file``, ``filename``, ``image``), ``label`` (or
    ``class``, ``target``) and, if there is one, ``split`` with the values ``train``,
    ``val`` (``valid``, ``validation``) and ``test``. Options name other columns.
    Labels are class numbers or class names; names are numbered alphabetically, and -1
    stands for an unknown class. Relative paths are relative to the table, or to the
    option ``root``.

    For several classes per example, either ``separator`` tells what stands between
    their names, as in ``?separator=;`` for ``cat;dog``, or ``label`` names one column
    of 0 and 1 for each class, as in ``?label=cat,dog``. For regression, ``numbers``
    names columns of numbers, as in ``?numbers=age`` or ``?numbers=x,y``.

    Args:
      argument: ``file`` or ``file?path=COLUMN&label=COLUMN&split=COLUMN&root=FOLDER``,
        with the options ``separator`` or ``numbers``.

    Raises:
      DataError: if the table cannot be read, lacks a column, or gives one file two
        labels or splits.
    """
    path, options = parse_argument("csv", argument, _OPTIONS)
    table = _Table(path, options, *_read(path))
    where = str(path)
    root = Path(os.path.expanduser(options.get("root", path.parent)))
    paths = [str(root / name) for name in table.column("path")]
    task, labels, names = _labels(table, options, where)
    splits = {"train": np.arange(len(paths))}
    if table.has_splits():
        splits = group_by_split(table.column("split"), where)
    notes = _check_twice(paths, labels, splits, where)
    found = {name: _examples(paths, labels, chosen) for name, chosen in splits.items()}
    train, validation, test = map(found.get, SPLITS)
    splits = train, validation, test
    return RawDataset(*splits, class_names=names, notes=notes, task=task)


class _Table(NamedTuple):
    """The rows of a table, whose columns the options may name."""

    path: Path
    options: Mapping[str, str]
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def has_splits(self) -> bool:
        """Whether a column tells the split of each example."""
        names = [name.lower() for name in self.header]
        return "split" in self.options or names.count("split") == 1

    def column(self, kind: str) -> list[str]:
        """The texts of the column of paths, labels or splits.

        Raises:
          DataError: no such column.
        """
        if kind in self.options:
            return self.named(kind, self.options[kind])
        lower = [name.lower() for name in self.header]
        for name in _COLUMNS[kind]:
            if lower.count(name) == 1:
                return self._texts(lower.index(name))
        raise self._missing(kind, " or ".join(map(repr, _COLUMNS[kind])))

    def named(self, option: str, name: str) -> list[str]:
        """The texts of the column of that name.

        Raises:
          DataError: no such column, or several.
        """
        if list(self.header).count(name) != 1:
            raise self._missing(option, repr(name))
        return self._texts(self.header.index(name))

    def _texts(self, number: int) -> list[str]:
        return [row[number].strip() for row in self.rows]

    def _missing(self, option: str, expected: str) -> DataError:
        return DataError(
            f"{self.path} has the columns {', '.join(map(show, self.header))}: expected"
            f" one called {expected}; name it, as in csv:{self.path}?{option}=COLUMN"
        )


def _labels(
    table: _Table, options: Mapping[str, str], where: str
) -> tuple[str | None, np.ndarray, list[str] | None]:
    """What the labels mean, those of all rows, and names of classes or numbers.

    Whole numbers may be classes or amounts, which the loss decides: ``None``.
    """
    given = [name for name in ("numbers", "label") if name in options]
    if len(given) == 2 or ("numbers" in options and "separator" in options):
        raise DataError(
            f"csv:{where}?numbers={options['numbers']} also has the option"
            f" {'label' if len(given) == 2 else 'separator'}: expected one of the two"
        )
    names = options[given[0]].split(",") if given else []
    names = [name.strip() for name in names]
    if "numbers" in options or len(names) > 1:
        if "separator" in options:
            raise DataError(
                f"csv:{where} has the option separator and several columns of labels"
                f" ({', '.join(names)}): expected one column"
            )
        columns = [table.named(given[0], name) for name in names]
        if "numbers" in options:
            return REGRESSION, read_numbers(columns, where), names
        return MULTILABEL, read_flags(columns, where), names
    texts = table.column("label")
    if "separator" in options:
        sets = [text.split(options["separator"]) for text in texts]
        return MULTILABEL, *number_sets(sets, where)
    labels, found = number_labels(texts, where)
    return CLASSIFICATION if found else None, labels, found


def _examples(
    paths: list[str], labels: np.ndarray, chosen: np.ndarray
) -> tuple[EncodedImages, np.ndarray]:
    files = [paths[number] for number in chosen.tolist()]
    images = EncodedImages(
        files, lambda number: read_bytes(files[number]), lambda n: stamp(files[n])
    )
    return images, labels[chosen]


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    """The header and the rows, all of the same length."""
    try:
        with open_regular(path, "r") as file:
            text = file.read().removeprefix("\ufeff")  # a byte order mark
        rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise DataError(
            f"{path} cannot be read as a CSV table in UTF-8: {reason or error}"
        ) from error
    if len(rows) < 2:
        raise DataError(f"{path} has no rows: expected a header and one row per image")
    header = [name.strip() for name in rows[0]]
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise DataError(
                f"row {number} of {path} has {len(row)} values: expected {len(header)},"
                " as in the header"
            )
    return header, rows[1:]


def _check_twice(paths, labels, splits, where) -> tuple[str, ...]:
    """A note about files that occur twice.

    Raises:
      DataError: a file with two labels, or in two splits.
    """
    split_of = {int(n): name for name, chosen in splits.items() for n in chosen}
    first: dict[str, int] = {}
    again = 0
    for number, path in enumerate(paths):
        before = first.setdefault(path, number)
        if before == number:
            continue
        again += 1
        for what, one, other in (
            ("labels", labels[before], labels[number]),
            ("splits", split_of[before], split_of[number]),
        ):
            if np.any(one != other):
                raise DataError(
                    f"{where} names {path} twice (rows {before + 2} and {number + 2}),"
                    f" with different {what}: remove one of the rows"
                )
    return (f"{where} names {again:,} files more than once",) if again else ()
