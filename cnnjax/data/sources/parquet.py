"""Image files with labels in Parquet tables, as Hugging Face stores data sets."""

import functools
import glob
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax import progress
from cnnjax.data.dataset import SPLITS, RawDataset
from cnnjax.data.decoding import read_bytes
from cnnjax.data.encoded_images import EncodedImages
from cnnjax.data.sources.argument import parse_argument
from cnnjax.data.sources.labels import split_files
from cnnjax.data.sources.parquet_labels import (
    check_values,
    label_columns,
    number_values,
)
from cnnjax.data.stamps import Stamp, stamp
from cnnjax.errors import DataError, show
from cnnjax.files import check_regular

_COLUMNS = {"image": ("image", "img"), "label": ("label", "labels", "class")}
_KEPT_GROUPS = 4  # row groups that stay in memory


def load_parquet(argument: str) -> RawDataset:
    """Finds the images in tables; none of them is decoded yet.

    A column ``image`` (or ``img``) holds encoded images: as bytes, or as an object with
    ``bytes`` or ``path``, a file beside the table. A column ``label`` (or ``labels``,
    ``class``) holds class numbers or class names; for numbers, the names come from the
    metadata of Hugging Face's ``ClassLabel``, and -1 stands for an unknown class. A
    column of lists holds several classes per example, and one of floating-point numbers
    is for regression. Options name other columns: ``label`` may name several columns of
    0 and 1, one per class, and ``numbers`` columns of numbers. Tables whose
    names begin with ``train``, ``val`` (``valid``, ``validation``) or ``test`` hold
    that split; if none does, all are for training.

    A whole row group is read for each image, so examples in random order are slow to
    stream from tables with large row groups.

    Args:
      argument: a file, a folder, or a pattern such as ``data/*.parquet``, with the
        options ``image``, ``label`` and ``numbers``.

    Raises:
      DataError: if no file matches, or a table is damaged or lacks a column.
    """
    path, options = parse_argument("parquet", argument, (*_COLUMNS, "numbers"))
    pattern = f"{glob.escape(str(path))}/**/*.parquet" if path.is_dir() else str(path)
    exists = os.path.isfile(path)
    paths = [str(path)] if exists else sorted(glob.glob(pattern, recursive=True))
    if not paths:
        raise DataError(f"{pattern} matches no file: name Parquet tables")
    splits: dict[str, list[_Table]] = {}
    listed = 0
    for split, members in split_files(paths).items():
        splits[split] = []
        for name in members:
            splits[split].append(_Table(name, options))
            listed += 1
            progress.tell("listing tables", listed, len(paths), "tables")
    if "train" not in splits:
        raise DataError(f"{pattern} has no table for training")
    names = splits["train"][0].class_names
    for table in (table for tables in splits.values() for table in tables):
        if table.class_names != names:
            raise DataError(
                f"{table.path} names the classes {show(table.class_names)}, but"
                f" {splits['train'][0].path} names them {show(names)}: expected the"
                " same in all tables"
            )
    values = [value for each in splits.values() for t in each for value in t.values]
    task, numbers, names = number_values(values, names, options, pattern)
    found, start = {}, 0
    for name, tables in splits.items():
        stop = start + sum(len(table.values) for table in tables)
        found[name] = _encoded(tables), numbers[start:stop]
        start = stop
    return RawDataset(*map(found.get, SPLITS), class_names=names, task=task)


class _Table:
    """One file: its labels, and its images by number."""

    def __init__(self, path: str, options: dict[str, str]):
        import pyarrow.parquet

        self.path, self.options, self.stamp = path, options, stamp(path)
        try:
            check_regular(path)
            self.file = pyarrow.parquet.ParquetFile(path)
            schema = self.file.schema_arrow
            self.column = _column("image", schema.names, options, path)
            several = label_columns(options)
            for name in several:
                _column("label", schema.names, {"label": name}, path)
            labels = several or [_column("label", schema.names, options, path)]
            read = self.file.read(labels)
            rows = [read.column(name).to_pylist() for name in labels]
            self.class_names = _class_names(schema.metadata or {}, labels[0])
        except (OSError, pyarrow.ArrowException) as error:
            raise _unreadable(path, error) from error
        if not _holds_all(self.file.metadata, self.column):
            self.stamp = None  # which tells nothing about files beside the table
        self.values: Sequence[Any] = list(zip(*rows, strict=True))
        if not several:
            self.values = check_values(rows[0], self.class_names, path)
        groups = range(self.file.num_row_groups)
        sizes = [self.file.metadata.row_group(group).num_rows for group in groups]
        self.starts = np.cumsum([0, *sizes])
        self.lock = threading.Lock()  # of the file, which has one position
        self.rows = functools.lru_cache(_KEPT_GROUPS)(self._read_rows)

    def __reduce__(self):
        """A process to which the table is sent opens it itself."""
        return _Table, (self.path, self.options)

    def read(self, number: int) -> bytes:
        """The content of one image file.

        Raises:
          DataError: no image there, or a table that is damaged.
        """
        group = int(np.searchsorted(self.starts, number, "right")) - 1
        with self.lock:
            value = self.rows(group)[number - int(self.starts[group])].as_py()
        if isinstance(value, dict):
            content, name = value.get("bytes"), value.get("path")
            if content is None and isinstance(name, str):
                return read_bytes(self._beside(name))
            value = content
        if not isinstance(value, bytes):
            raise DataError(
                f"{self.path}[{number}] cannot be read as an image: it holds"
                f" {show(value)}, expected bytes"
            )
        return value

    def _read_rows(self, group: int) -> Any:
        import pyarrow

        try:
            return self.file.read_row_group(group, [self.column]).column(0)
        except (OSError, pyarrow.ArrowException) as error:
            raise _unreadable(self.path, error) from error

    def _beside(self, name: str) -> Path:
        """A file that the table names; only one below its own folder."""
        folder = Path(self.path).parent.resolve()
        path = None if "\0" in name else (folder / name).resolve()
        if path is None or not path.is_relative_to(folder):
            raise DataError(
                f"{self.path} names {show(name)}, which is outside of its folder"
            )
        return path


def _holds_all(metadata: Any, column: str) -> bool:
    """Whether all images of a column are in the table, by its statistics."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for chunk in map(group.column, range(group.num_columns)):
            if chunk.path_in_schema == f"{column}.bytes":
                statistics = chunk.statistics
                if not (statistics and statistics.has_null_count):
                    return False
                if statistics.null_count:
                    return False
    return True


def _encoded(tables: Sequence[_Table]) -> EncodedImages:
    starts = np.cumsum([0, *(len(table.values) for table in tables)])
    names = [f"{table.path}[{n}]" for table in tables for n in range(len(table.values))]

    def read(number: int) -> bytes:
        which = int(np.searchsorted(starts, number, "right")) - 1
        return tables[which].read(number - int(starts[which]))

    def identify(number: int) -> Stamp | None:
        which = int(np.searchsorted(starts, number, "right")) - 1
        table = tables[which].stamp
        return None if table is None else (*table, number - int(starts[which]))

    return EncodedImages(names, read, identify)


def _column(kind: str, names: Sequence[str], options, path: str) -> str:
    wanted = (options[kind],) if kind in options else _COLUMNS[kind]
    for name in wanted:
        if name in names:
            return name
    raise DataError(
        f"{path} has the columns {', '.join(names)}: expected one called"
        f" {' or '.join(map(repr, wanted))}; name it, as in"
        f" parquet:{os.path.dirname(path) or '.'}?{kind}=COLUMN"
    )


def _class_names(metadata: dict[bytes, bytes], label: str) -> list[str] | None:
    """The names that Hugging Face's metadata gives the classes."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        feature = features[label]
        names = feature.get("feature", feature)["names"]  # that of a list, or its own
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    good = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if good and names else None


def _unreadable(path: str, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return DataError(f"{path} cannot be read as a Parquet table: {reason}")
