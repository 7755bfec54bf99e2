"""Images and labels in IDX files, the format of MNIST and Fashion-MNIST."""

import contextlib
import gzip
import io
import math
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from cnnjax.data.dataset import SPLITS, RawDataset, Split
from cnnjax.data.size import check_size
from cnnjax.data.sources.argument import parse_argument
from cnnjax.data.stream import StreamedImages, add_channel, stream_array
from cnnjax.errors import DataError, NotRegularError
from cnnjax.files import open_regular

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

# DEFLATE never compresses by more than this factor.
_MAX_COMPRESSION = 1032

_CHUNK_BYTES = 2**20

_MAX_NAMES_BYTES = 2**20

_GZIP = b"\x1f\x8b"

_File = gzip.GzipFile | io.BufferedReader


def load_idx(argument: str, only: str | None = None) -> RawDataset:
    """Reads a folder of four IDX files, gzipped or not.

    They have the usual names: ``train-images-idx3-ubyte``,
    ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
    ``t10k-labels-idx1-ubyte``, with or without ``.gz``, and with ``.idx`` in place of
    ``-idx``. Images of rank 3 are grayscale ``(n, h, w)``, those of rank 4
    ``(n, h, w, channels)``. A file ``labels.txt`` may name the classes, one per line.

    Args:
      argument: ``folder`` or ``folder?classes=<number of classes>``.
      only: the one split to read, ``"train"`` or ``"test"``; by default both.

    Raises:
      DataError: if a file is missing or damaged.
    """
    return _load(argument, read_idx, only)


def stream_idx(argument: str, only: str | None = None) -> RawDataset:
    """Like ``load_idx``, but leaves the images on disk.

    Image files must not be gzipped.
    """
    return _load(argument, open_idx, only)


def read_idx(path: Path) -> np.ndarray:
    """Reads the array of one IDX file, gzipped or not.

    A file starts with two zero bytes, one byte for the type, one for the rank, and the
    size of each axis as a big-endian 32-bit integer; the values follow.

    Raises:
      DataError: if the file cannot be read, or holds more or fewer bytes than its
        header says.
    """
    with _naming(path), open_regular(path) as file:
        gzipped = file.read(2) == _GZIP
        file.seek(0)
        size = os.fstat(file.fileno()).st_size
        if not gzipped:
            return _read_array(file, path, size)
        with gzip.GzipFile(fileobj=file) as unpacked:
            return _read_array(unpacked, path, size * _MAX_COMPRESSION)


def open_idx(path: Path) -> StreamedImages:
    """Finds the images in one IDX file that is not gzipped.

    Raises:
      DataError: if the file is gzipped, cannot be read, or holds more or fewer bytes
        than its header says.
    """
    with _naming(path), open_regular(path) as file:
        if file.read(2) == _GZIP:
            raise DataError(
                f"{path} is gzipped, so its images cannot be streamed: decompress it"
                " with gunzip, or set data.streaming to false"
            )
        file.seek(0)
        shape, dtype = _read_header(file, path)
        offset, num_bytes = file.tell(), math.prod(shape) * dtype.itemsize
        given = os.fstat(file.fileno()).st_size - offset
        if given != num_bytes:
            raise DataError(
                f"{path} declares an array of shape {shape}, {num_bytes:,} bytes, but"
                f" holds {given:,}: download it again"
            )
        return stream_array(str(path), path, file, offset, shape, dtype)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except NotRegularError as error:
        raise DataError(f"{error}: name the folder of the IDX files") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read ({error}): it is damaged; download it again"
        ) from error


def _load(argument: str, read_images: Callable, only: str | None) -> RawDataset:
    folder, _ = parsed = parse_argument("idx", argument, {"classes"})
    num_classes = parsed.num_classes  # checked before anything is read
    splits = {
        name: _read_split(folder, prefix, read_images)
        for name, prefix in (("train", "train"), ("test", "t10k"))
        if only in (None, name)
    }
    return RawDataset(
        *map(splits.get, SPLITS),
        num_classes=num_classes,
        class_names=_read_class_names(folder / "labels.txt"),
    )


def _read_class_names(path: Path) -> list[str] | None:
    """The lines of a file with one class name per line, if there is one."""
    if not os.path.lexists(path):
        return None
    with _naming(path), open_regular(path) as file:
        text = file.read(_MAX_NAMES_BYTES + 1)
    try:
        if len(text) > _MAX_NAMES_BYTES:
            raise ValueError(f"it has more than {_MAX_NAMES_BYTES:,} bytes")
        return [line.strip() for line in text.decode().strip().splitlines()]
    except ValueError as error:
        raise DataError(
            f"{path} cannot be read ({error}): expected one class name per line, in"
            " UTF-8"
        ) from error


def _read_split(folder: Path, prefix: str, read_images: Callable) -> Split:
    images_path = _find(folder, f"{prefix}-images", ranks=(3, 4))
    labels_path = _find(folder, f"{prefix}-labels", ranks=(1,))
    images, labels = read_images(images_path), read_idx(labels_path)
    if len(images.shape) not in (3, 4):
        raise DataError(
            f"{images_path} holds an array of shape {images.shape}: expected (n, h, w)"
            " or (n, h, w, channels)"
        )
    if labels.shape != images.shape[:1]:
        raise DataError(
            f"{labels_path} holds labels of shape {labels.shape}, but {images_path} has"
            f" {len(images)} images: the files do not belong together"
        )
    return Split(add_channel(images) if len(images.shape) == 3 else images, labels)


def _find(folder: Path, stem: str, ranks: tuple[int, ...]) -> Path:
    names = [
        f"{stem}{separator}idx{rank}-ubyte{suffix}"
        for rank in ranks
        for separator in "-."
        for suffix in ("", ".gz")
    ]
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise DataError(
        f"{folder} has no file named {', '.join(names[:-1])} or {names[-1]}: name the"
        " folder that holds the IDX files"
    )


def _read_array(file: _File, path: Path, limit: int) -> np.ndarray:
    """Reads header and values; allocates nothing until the header is plausible."""
    shape, dtype = _read_header(file, path)
    num_bytes = math.prod(shape) * dtype.itemsize
    if 0 in shape:
        raise DataError(f"{path} declares an array of shape {shape}, which is empty")
    check_size(f"{path} of shape {shape}", num_bytes)
    if num_bytes > limit:
        raise DataError(
            f"{path} declares an array of shape {shape}, {num_bytes:,} bytes, but is"
            f" too small to hold more than {limit:,}: download it again"
        )
    values = _read_exactly(file, num_bytes, path).view(dtype).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)


def _read_header(file: _File, path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Reads shape and dtype."""
    magic = file.read(4)
    plausible = len(magic) == 4 and magic[2] in _DTYPES and 1 <= magic[3] <= 4
    if not plausible or magic[:2] != b"\0\0":
        raise DataError(
            f"{path} starts with the bytes 0x{magic.hex()}: an IDX file starts with"
            " 0x0000, a type, and a rank from 1 to 4"
        )
    dtype, rank = np.dtype(_DTYPES[magic[2]]), magic[3]
    header = file.read(4 * rank)
    if len(header) < 4 * rank:
        raise DataError(f"{path} ends within its header: download it again")
    return struct.unpack(f">{rank}I", header), dtype


def _read_exactly(file: _File, num_bytes: int, path: Path) -> np.ndarray:
    values = np.empty(num_bytes, np.uint8)
    view, start = values.data, 0
    while start < num_bytes:
        count = file.readinto(view[start : start + _CHUNK_BYTES])
        if not count:
            raise DataError(
                f"{path} ends after {start:,} of the {num_bytes:,} bytes that its"
                " header declares: download it again"
            )
        start += count
    if file.read(1):
        raise DataError(
            f"{path} continues after the {num_bytes:,} bytes that its header declares:"
            " download it again"
        )
    return values
