"""Images and labels in one NumPy archive, as Keras stores its data sets."""

import math
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError

import numpy as np

from cnnjax.data.argument import parse_argument
from cnnjax.data.dataset import RawDataset, Split
from cnnjax.data.errors import DataError
from cnnjax.data.size import check_size

_VALIDATION = ("x_validation", "y_validation"), ("x_val", "y_val")

_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,  # encrypted, or compressed in a way that Python does not know
    TokenError,
    zlib.error,
    zipfile.BadZipFile,
)


def load_npz(argument: str) -> RawDataset:
    """Reads ``x_train``, ``y_train`` and the other splits, or ``images``, ``labels``.

    ``x_test`` with ``y_test``, and ``x_validation`` (or ``x_val``) with its labels, may
    be missing; they are then held out of train.

    Images ``(n, length)`` and ``(n, h, w)`` get a channel axis; those of rank 4 and 5
    have one. For signals ``(n, length, channels)`` add ``?channels=last`` to the path,
    for grey volumes ``(n, d, h, w)`` add ``?channels=none``.

    Args:
      argument: ``file``, with the options ``channels`` and ``classes``.

    Raises:
      DataError: if the file is damaged, lacks a key, or holds Python objects, which are
        never unpickled.
    """
    path, options = parsed = parse_argument("npz", argument, {"channels", "classes"})
    channels = options.get("channels")
    if channels not in (None, "last", "none"):
        raise DataError(f"channels={channels!r}: expected 'last' or 'none'")
    try:
        with zipfile.ZipFile(path) as archive:
            splits = _read_splits(archive, path)
    except DataError:
        raise
    except _UNREADABLE as error:
        raise DataError(
            f"{path} cannot be read as a NumPy archive ({error}): write it with"
            " numpy.savez, or get it again"
        ) from error
    splits = {
        name: Split(_add_channels(images, channels), labels)
        for name, (images, labels) in splits.items()
    }
    return RawDataset(**splits, num_classes=parsed.num_classes)


def _read_splits(archive: zipfile.ZipFile, path: Path) -> dict[str, Split]:
    names = {name.removesuffix(".npy") for name in archive.namelist()}
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
            f"{path} has no array {key!r}, only {', '.join(sorted(names)) or 'none'}:"
            " expected x_train, y_train (x_test, y_test, x_validation, y_validation),"
            " or images, labels"
        )
    return {
        name: Split(*(_read_array(archive, key, path) for key in pair))
        for name, pair in keys.items()
    }


def _read_array(archive: zipfile.ZipFile, key: str, path: Path) -> np.ndarray:
    """Reads one array after its header was found plausible."""
    info = archive.getinfo(f"{key}.npy")
    check_size(f"{key} in {path}", info.file_size)
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
        header_bytes = file.tell()
    if dtype.hasobject:
        raise DataError(
            f"{key} in {path} holds Python objects, which could run code when read:"
            " store plain arrays of numbers"
        )
    num_bytes = math.prod(shape) * dtype.itemsize
    check_size(f"{key} in {path}", num_bytes)
    if min(shape, default=0) < 0 or num_bytes + header_bytes != info.file_size:
        raise DataError(
            f"{key} in {path} promises an array of shape {shape}, {num_bytes:,} bytes,"
            f" but holds {info.file_size - header_bytes:,}: get it again"
        )
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _add_channels(images: np.ndarray, channels: str | None) -> np.ndarray:
    if channels == "none" or (channels is None and images.ndim in (2, 3)):
        return images[..., None]
    return images
