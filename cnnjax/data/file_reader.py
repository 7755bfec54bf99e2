"""The image files of one split as arrays: decoded by threads, or read from a cache."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cnnjax import progress
from cnnjax.data.decoding import Box, Decoding, decode
from cnnjax.data.encoded_images import EncodedImages
from cnnjax.data.image_cache import ImageCache
from cnnjax.data.random_part import random_box
from cnnjax.data.size import check_size
from cnnjax.errors import DataError

AT_ONCE = 256  # files that are submitted to the threads at a time

Choose = Callable[[float], Box]


class FileReader:
    """Reads image files as arrays of one shape; threads may share it.

    Args:
        images: the files.
        decoding: how they become arrays.
        shape: the shape of each array.
        workers: number of threads that decode, which live as long as the reader; 0
            decodes in the calling thread.
        part: the smallest and the largest fraction of an image's area that ``draw``
            shows; ``None`` for the whole image.
        cache: the decoded images on disk, if they are cached.
    """

    def __init__(
        self,
        images: EncodedImages,
        decoding: Decoding,
        shape: tuple[int, ...],
        workers: int,
        part: tuple[float, float] | None = None,
        cache: ImageCache | None = None,
    ):
        self._images, self._decoding, self._shape = images, decoding, shape
        self._workers, self._part, self._cache = workers, part, cache
        self._pool: tuple[int, ThreadPoolExecutor] | None = None

    def __getstate__(self):
        """The state for a worker process, which decodes without threads."""
        return {**self.__dict__, "_workers": 0, "_pool": None}

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Decodes files ``(k,)`` to an array ``(k, *shape)``.

        Raises:
            DataError: a file that can no longer be decoded.
        """
        return self._stack(len(indices), self._decoded(indices.tolist()))

    def draw(self, indices: np.ndarray, seeds: Sequence[tuple[int, ...]]) -> np.ndarray:
        """Like ``read``, but a random part of each image, which its seed determines."""
        least, most = self._part or (1.0, 1.0)

        def choose(seed: tuple[int, ...]) -> Choose:
            random = np.random.default_rng(seed)
            return lambda aspect: random_box(random, aspect, least, most)

        boxes = [choose(seed) for seed in seeds]
        return self._stack(len(indices), self._decoded(indices.tolist(), boxes))

    def _stack(
        self, count: int, decoded: Iterator[np.ndarray | DataError]
    ) -> np.ndarray:
        arrays = np.empty((count, *self._shape), self._decoding.dtype)
        for row, found in zip(arrays, decoded, strict=True):
            if isinstance(found, DataError):
                raise found
            row[...] = found
        return arrays

    def read_all(
        self, split: str, *, keep: bool
    ) -> tuple[np.ndarray | None, dict[int, str]]:
        """Decodes all files: returns arrays if ``keep``, and errors by file number.

        Files in the cache are not decoded again, and the others are added to it.
        """
        count, bad, arrays = len(self._images), {}, None
        if keep:
            shape, dtype = (count, *self._shape), self._decoding.dtype
            check_size(f"the {split} split", math.prod(shape) * dtype.itemsize)
            arrays = np.zeros(shape, dtype)
        task = f"decoding the {split} split" if keep else f"checking the {split} split"
        for number, found in enumerate(self._all(keep)):
            if isinstance(found, DataError):
                bad[number] = str(found)
            elif arrays is not None:
                arrays[number] = found
            if number % 64 == 0 or number + 1 == count:
                progress.tell(task, number + 1, count)
        return arrays, bad

    def _all(self, keep: bool) -> Iterator[np.ndarray | DataError | None]:
        """The arrays of all files, or their errors.

        Unless ``keep``, ``None`` stands for a file that the cache knows to be good.
        """
        if self._cache is None:
            yield from self._decoded(range(len(self._images)))
            return
        for number in range(len(self._cache)):
            files = self._cache.files(number)
            shard = self._cache.find(number)
            if shard is None:
                decoded = [*self._decoded(files)]
                self._cache.store(number, decoded)
                yield from decoded
            elif keep:
                yield from self._decoded(files)
            else:
                for place in range(len(files)):
                    reason = shard.bad.get(place)
                    yield DataError(reason) if reason else None

    def _decoded(
        self, numbers: Sequence[int], choices: Sequence[Choose] | None = None
    ) -> Iterator[np.ndarray | DataError]:
        """The arrays of some files in order, or their errors."""
        chosen = choices or [None] * len(numbers)
        if not self._workers:
            yield from map(self._decode, numbers, chosen)
            return
        pool = self._threads()
        for start in range(0, len(numbers), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            yield from pool.map(self._decode, numbers[some], chosen[some])

    def _threads(self) -> ThreadPoolExecutor:
        """The threads of this process: a fork has none of its parent's threads."""
        process = os.getpid()
        if self._pool is None or self._pool[0] != process:
            self._pool = process, ThreadPoolExecutor(self._workers, "cnnjax decoding")
        return self._pool[1]

    def _decode(self, number: int, choose: Choose | None) -> np.ndarray | DataError:
        if choose is None and self._cache is not None:
            cached = self._cache.read(number)
            if cached is not None:
                return cached
        name = self._images.names[number]
        try:
            array = decode(self._images.read(number), self._decoding, name, choose)
        except DataError as error:
            return error
        if array.shape != self._shape:
            return DataError(
                f"{name} has {pixels(array.shape)} pixels, but others have"
                f" {pixels(self._shape)} (height x width): set data.image_size, for"
                " example to (64, 64), to resize all images"
            )
        return array


def pixels(size: Sequence[int]) -> str:
    """Height and width as text."""
    return f"{size[0]} x {size[1]}"
