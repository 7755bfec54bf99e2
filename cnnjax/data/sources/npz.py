"""Images and labels in one NumPy archive, as Keras stores its data sets."""

import contextlib
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tokenize import TokenError
from typing import NamedTuple

import numpy as np

from cnnjax.data.dataset import SPLITS, RawDataset, Split
from cnnjax.data.plausible import channels_first_note, looks_channels_first
from cnnjax.data.size import check_size
from cnnjax.data.sources.argument import parse_argument
from cnnjax.data.stream import StreamedImages, add_channel, stream_array
from cnnjax.errors import DataError, NotRegularError
from cnnjax.files import open_regular

_VALIDATION = ("x_validation", "y_validation"), ("x_val", "y_val")

_HEADER_BYTES = 2**16

_MOST_NAMES = 10  # that a message lists

_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,  # encrypted, or compressed by a method that Python lacks
    TokenError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)


def load_npz(argument: str, only: str | None = None) -> RawDataset:
    """Reads ``x_train``, ``y_train`` and the other splits, or ``images``, ``labels``.

    An array ``class_names`` of strings names the classes.

    ``x_test`` with ``y_test``, and ``x_validation`` (or ``x_val``) with its labels, may
    be missing; they are then held out of the training examples.

    Images ``(n, length)`` and ``(n, h, w)`` get a channel axis; those of rank 4 and 5
    already have one. For signals ``(n, length, channels)``, add ``?channels=last`` to
    the path; for grayscale volumes ``(n, d, h, w)``, add ``?channels=none``.

    Args:
      argument: ``file``, with the options ``channels`` and ``classes``.
      only: the one split to read; by default all that there are.

    Raises:
      DataError: if the file is damaged, lacks a key, or holds Python objects (which
        are never unpickled).
    """
    return _load(argument, _read_array, only)


def stream_npz(argument: str, only: str | None = None) -> RawDataset:
    """Like ``load_npz``, but leaves the images on disk.

    They must be stored uncompressed, as ``numpy.savez`` does.
    """
    return _load(argument, _open_array, only)


def read_array(path: Path, key: str) -> np.ndarray:
    """One array of an archive, never unpickled.

    Raises:
      DataError: if the file is damaged, or has no such array.
    """
    with _archive(path) as archive:
        names = _array_names(archive)
        if key not in names:
            raise DataError(f"{path} has no array {key!r}, only {_list(names)}")
        return _read_array(archive, key, path)


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """An open archive; whatever is wrong with it becomes a sentence.

    Raises:
      DataError: if the file cannot be read.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            yield archive
    except DataError:
        raise
    except NotRegularError as error:
        raise DataError(f"{error}: give the path of a NumPy archive") from error
    except _UNREADABLE as error:
        raise DataError(
            f"{path} cannot be read as a NumPy archive ({error}): write it with"
            " numpy.savez, or download it again"
        ) from error


def _load(argument: str, read_images: Callable, only: str | None) -> RawDataset:
    path, options = parsed = parse_argument("npz", argument, {"channels", "classes"})
    channels, num_classes = options.get("channels"), parsed.num_classes
    check_channels(channels)
    with _archive(path) as archive:
        splits = _read_splits(archive, path, read_images, only)
        class_names = _read_class_names(archive, path)
    splits = {
        name: Split(add_channels(images, channels, path), labels)
        for name, (images, labels) in splits.items()
    }
    return RawDataset(
        *map(splits.get, SPLITS), num_classes=num_classes, class_names=class_names
    )


def _read_splits(
    archive: zipfile.ZipFile, path: Path, read_images: Callable, only: str | None
) -> dict[str, Split]:
    keys = find_keys(_array_names(archive), path)
    return {
        name: Split(read_images(archive, x, path), _read_array(archive, y, path))
        for name, (x, y) in keys.items()
        if only in (None, name)
    }


def find_keys(names: set[str], path: Path) -> dict[str, tuple[str, str]]:
    """The names of images and labels of each split that there is.

    Raises:
      DataError: one of a pair is missing, or both of train.
    """
    keys = {"train": ("x_train", "y_train")}
    if {"images", "labels"} <= names:
        keys = {"train": ("images", "labels")}
    if names & {"x_test", "y_test"}:
        keys["test"] = ("x_test", "y_test")
    for pair in _VALIDATION:
        if names.intersection(pair):
            keys["validation"] = pair
    for key in (key for pair in keys.values() for key in pair if key not in names):
        raise DataError(
            f"{path} has no array {key!r}, only {_list(names)}:"
            " expected x_train, y_train (x_test, y_test, x_validation, y_validation),"
            " or images, labels"
        )
    return keys


def check_channels(channels: str | None) -> None:
    """Refuses an unknown value of the option ``channels``."""
    if channels not in (None, "last", "none"):
        raise DataError(f"channels={channels!r}: expected 'last' or 'none'")


def _array_names(archive: zipfile.ZipFile) -> set[str]:
    members = archive.namelist()
    return {name.removesuffix(".npy") for name in members if name.endswith(".npy")}


def _read_class_names(archive: zipfile.ZipFile, path: Path) -> list[str] | None:
    """The array ``class_names`` of strings, if there is one."""
    if "class_names" not in _array_names(archive):
        return None
    names = _read_array(archive, "class_names", path)
    if names.dtype.kind != "U" or names.ndim != 1:
        raise DataError(
            f"class_names in {path} has shape {names.shape} and dtype {names.dtype}:"
            " expected one string per class, such as numpy.array(['cat', 'dog'])"
        )
    return names.tolist()


def _list(names: set[str]) -> str:
    shown = sorted(names)[:_MOST_NAMES]
    more = ["..."] if len(names) > len(shown) else []
    return ", ".join([*shown, *more]) or "none"


class _Header(NamedTuple):
    """The header of an array in the archive."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype
    num_bytes: int
    offset: int


def _read_array(archive: zipfile.ZipFile, key: str, path: Path) -> np.ndarray:
    """Reads one array, after checking that its header is plausible."""
    info = archive.getinfo(f"{key}.npy")
    check_size(f"{key} in {path}", info.file_size)
    header = _read_header(archive, info, key, path)
    check_size(f"{key} in {path}", header.num_bytes)
    _check_promise(header, info.file_size, key, path)
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _open_array(archive: zipfile.ZipFile, key: str, path: Path) -> StreamedImages:
    """Locates one uncompressed array."""
    info = archive.getinfo(f"{key}.npy")
    if info.compress_type != zipfile.ZIP_STORED:
        raise DataError(
            f"{key} in {path} is compressed, so it cannot be streamed: write it with"
            " numpy.savez, not savez_compressed, or set data.streaming to false"
        )
    header = _read_header(archive, info, key, path)
    _check_promise(header, info.compress_size, key, path)
    if header.fortran_order:
        raise DataError(
            f"{key} in {path} is in Fortran order, so it cannot be streamed: save"
            " numpy.ascontiguousarray(array), or set data.streaming to false"
        )
    with open_regular(path) as file:
        # A member starts with 30 bytes, the last 4 of which are the lengths of its name
        # and of an extra field; both follow, and then the content.
        file.seek(info.header_offset + 26)
        lengths = struct.unpack("<2H", file.read(4))
        offset = info.header_offset + 30 + sum(lengths) + header.offset
        return stream_array(
            f"{key} in {path}", path, file, offset, header.shape, header.dtype
        )


def _read_header(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, key: str, path: Path
) -> _Header:
    with archive.open(info) as member:
        # The header states its own length, which may be anything.
        file = io.BytesIO(member.read(_HEADER_BYTES))
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, order, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, order, dtype = np.lib.format.read_array_header_2_0(file)
        offset = file.tell()
    if dtype.hasobject:
        raise DataError(
            f"{key} in {path} holds Python objects, which could run code when read:"
            " store plain arrays of numbers"
        )
    return _Header(shape, order, dtype, math.prod(shape) * dtype.itemsize, offset)


def _check_promise(header: _Header, member_bytes: int, key: str, path: Path) -> None:
    shape, num_bytes = header.shape, header.num_bytes
    if min(shape, default=0) < 0 or num_bytes + header.offset != member_bytes:
        raise DataError(
            f"{key} in {path} declares an array of shape {shape}, {num_bytes:,} bytes,"
            f" but holds {member_bytes - header.offset:,}: download it again"
        )


def add_channels(
    images: np.ndarray | StreamedImages, channels: str | None, path: Path
) -> np.ndarray | StreamedImages:
    """Images with an axis of channels, see ``load_npz``."""
    if channels is None and looks_channels_first(images.shape):
        raise DataError(
            f"{path}: {channels_first_note(images.shape)}, or add ?channels=last to the"
            " path if this is intentional"
        )
    if channels == "none" or (channels is None and len(images.shape) in (2, 3)):
        return add_channel(images)
    return images
