"""A CSV table of image files and labels."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnnjax.data.dataset import SPLITS, EncodedImages, RawDataset
from cnnjax.data.decoding import read_bytes
from cnnjax.data.sources.argument import parse_argument
from cnnjax.data.sources.labels import group_by_split, number_labels
from cnnjax.errors import DataError, show
from cnnjax.files import open_regular

_COLUMNS = {
    "path": ("path", "file", "filename", "image"),
    "label": ("label", "class", "target"),
    "split": ("split",),
}
_OPTIONS = (*_COLUMNS, "root")


def load_csv(argument: str) -> RawDataset:
    """Finds image files by a table with a header; none of them is read yet.

    Columns are called ``path`` (or ``file``, ``filename``, ``image``), ``label`` (or
    ``class``, ``target``) and, if there is one, ``split`` with the values ``train``,
    ``val`` (``valid``, ``validation``) and ``test``. Options name other columns.
    Labels are class numbers or class names; names are numbered alphabetically.
    Relative paths are relative to the table, or to the option ``root``.

    Args:
      argument: ``file`` or ``file?path=COLUMN&label=COLUMN&split=COLUMN&root=FOLDER``.

    Raises:
      DataError: if the table cannot be read, lacks a column, or gives one file two
        labels or splits.
    """
    path, options = parse_argument("csv", argument, _OPTIONS)
    header, rows = _read(path)
    columns = {
        kind: [row[number].strip() for row in rows]
        for kind in _COLUMNS
        if (number := _column(kind, header, options, path)) is not None
    }
    where = str(path)
    root = Path(os.path.expanduser(options.get("root", path.parent)))
    paths = [str(root / name) for name in columns["path"]]
    labels, names = number_labels(columns["label"], where)
    splits = {"train": np.arange(len(rows))}
    if "split" in columns:
        splits = group_by_split(columns["split"], where)
    notes = _check_twice(paths, labels, splits, where)
    found = {name: _examples(paths, labels, chosen) for name, chosen in splits.items()}
    train, validation, test = map(found.get, SPLITS)
    return RawDataset(train, validation, test, class_names=names, notes=notes)


def _examples(
    paths: list[str], labels: np.ndarray, chosen: np.ndarray
) -> tuple[EncodedImages, np.ndarray]:
    files = [paths[number] for number in chosen.tolist()]
    images = EncodedImages(files, lambda number: read_bytes(files[number]))
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


def _column(kind: str, header: Sequence[str], options, path: Path) -> int | None:
    """The number of a column; ``None`` for a missing column of splits."""
    wanted = (options[kind],) if kind in options else _COLUMNS[kind]
    known = header if kind in options else [name.lower() for name in header]
    for name in wanted:
        if known.count(name) == 1:
            return known.index(name)
    if kind == "split" and kind not in options:
        return None
    raise DataError(
        f"{path} has the columns {', '.join(map(show, header))}: expected one called"
        f" {' or '.join(map(repr, wanted))}; name it, as in csv:{path}?{kind}=COLUMN"
    )


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
            if one != other:
                raise DataError(
                    f"{where} names {path} twice (rows {before + 2} and {number + 2}),"
                    f" with different {what}: remove one of the rows"
                )
    return (f"{where} names {again:,} files more than once",) if again else ()
