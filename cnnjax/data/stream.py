"""Images that stay on disk and are read when a batch needs them."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, SupportsIndex

import numpy as np

from cnnjax.data.pixels import convert_pixels, pixel_dtype
from cnnjax.errors import DataError
from cnnjax.files import open_regular

_HINT = "restore the original file, and rerun the same command"


@dataclass(frozen=True, eq=False)
class StreamedImages:
    """Images ``(n, *spatial, channels)`` that are read when they are indexed.

    Indexing with a slice or an array of indices returns a contiguous array of uint8 or
    finite float32, or raises DataError. Threads may share the object if ``read`` allows
    it.

    Attributes:
      name: what messages call the images: a file or a split.
      read: takes indices ``(k,)`` and returns the k images as they are stored.
      example_shape: ``(*spatial, channels)``.
      dtype: uint8 or float32, as returned by ``pixel_dtype``.
      indices: the stored images that this object stands for, in order.
      draw: like ``read``, with a seed for each image, which decides at random what
        part of it a training batch sees; ``None`` if it sees the whole image.
      decodes: whether reading an image takes as long as decoding a file.
    """

    name: str
    read: Callable[[np.ndarray], np.ndarray]
    example_shape: tuple[int, ...]
    dtype: np.dtype
    indices: np.ndarray
    draw: Callable[[np.ndarray, Sequence[tuple[int, ...]]], np.ndarray] | None = None
    decodes: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n, *spatial, channels)``."""
        return len(self.indices), *self.example_shape

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(
        self, key: slice | SupportsIndex | Sequence[int] | np.ndarray
    ) -> np.ndarray:
        chosen = np.asarray(self.indices[key])
        numbers = chosen.ravel()
        images = convert_pixels(self.name, self.read(numbers), numbers)
        return images.reshape(*chosen.shape, *self.example_shape)

    def at_random(
        self, chosen: np.ndarray, seed: int, epochs: np.ndarray
    ) -> np.ndarray:
        """The images for training, which may be random parts.

        Args:
          chosen: numbers of images ``(k,)``.
          seed: of the run.
          epochs: in which each image is seen. Seed, epoch and image decide its part, so
            a resumed run, or one with other threads, sees the same.
        """
        if self.draw is None:
            return self[chosen]
        numbers = self.indices[chosen]
        pairs = zip(epochs.tolist(), numbers.tolist(), strict=True)
        seeds = [(seed, epoch, number) for epoch, number in pairs]
        return convert_pixels(self.name, self.draw(numbers, seeds), numbers)

    def take(self, indices: np.ndarray) -> "StreamedImages":
        """Returns a subset of these images, without reading them."""
        return replace(self, indices=self.indices[indices])


def add_channel(images: np.ndarray | StreamedImages) -> np.ndarray | StreamedImages:
    """Appends a channel axis of size 1."""
    if isinstance(images, StreamedImages):
        return replace(images, example_shape=(*images.example_shape, 1))
    return images[..., None]


def stream_array(
    name: str,
    path: Path,
    file: BinaryIO,
    offset: int,
    shape: tuple[int, ...],
    dtype: np.dtype,
) -> StreamedImages:
    """Makes images from an array within a file, whose values are in C order.

    Args:
      name: what messages call the array.
      path: the file, which is opened again for each batch.
      file: the same file, open; it may be closed afterwards.
      offset: position of the first value, in bytes.
      shape: shape of the array.
      dtype: its dtype, of any byte order.

    Raises:
      DataError: if the array is empty, does not fit into the file, or has a dtype that
        images cannot have.
    """
    if not shape or 0 in shape:
        raise DataError(f"{name} has shape {shape}: expected at least one image")
    num_bytes = math.prod(shape) * dtype.itemsize
    status = os.fstat(file.fileno())
    if offset + num_bytes > status.st_size:
        raise DataError(
            f"{name} declares an array of shape {shape}, {num_bytes:,} bytes, but has"
            f" {max(0, status.st_size - offset):,} bytes for it: download it again"
        )
    array = _ArrayFile(path.absolute(), offset, shape[1:], dtype, _stamp(status))
    dtype = pixel_dtype(name, dtype)
    return StreamedImages(name, array.read, shape[1:], dtype, np.arange(shape[0]))


def _stamp(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


@dataclass(frozen=True)
class _ArrayFile:
    """An array in a file: where its values are, and the file's size and time.

    It is read with ``preadv``, which many threads can call at once and which reports a
    truncated file; with a memory map, a signal would kill the process. Opening the file
    for each batch takes 10 microseconds, detects changes, and leaves nothing open.
    """

    path: Path
    offset: int
    example_shape: tuple[int, ...]
    dtype: np.dtype
    stamp: tuple[int, int]

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Reads examples ``(k,)`` in any order.

        Raises:
          DataError: if the file is gone or has changed.
        """
        size = math.prod(self.example_shape) * self.dtype.itemsize
        rows = np.empty((len(indices), size), np.uint8)
        try:
            with open_regular(self.path) as file:
                self._check_stamp(_stamp(os.fstat(file.fileno())))
                for row, index in zip(rows, indices.tolist(), strict=True):
                    self._fill(row, file.fileno(), index)
        except OSError as error:
            raise DataError(
                f"{self.path} can no longer be read ({error}): {_HINT}"
            ) from error
        return rows.view(self.dtype).reshape(len(indices), *self.example_shape)

    def _check_stamp(self, stamp: tuple[int, int]) -> None:
        if stamp != self.stamp:
            raise DataError(
                f"{self.path} has changed since the data set was opened, from"
                f" {self.stamp[0]:,} to {stamp[0]:,} bytes or in content: {_HINT}"
            )

    def _fill(self, row: np.ndarray, descriptor: int, index: int) -> None:
        """Reads one example; a call may return less than it was asked for."""
        start, done, view = self.offset + index * len(row), 0, row.data
        while done < len(row):
            count = os.preadv(descriptor, [view[done:]], start + done)
            if not count:
                raise DataError(f"{self.path} now ends within image {index}: {_HINT}")
            done += count
