"""Image files as images of a data set: checked, decoded at once or when read."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cnnjax import progress
from cnnjax.data.dataset import SPLITS, EncodedImages, RawDataset, Split
from cnnjax.data.decoding import Box, Decoding, Header, decode, random_box, read_header
from cnnjax.data.size import check_size
from cnnjax.data.stream import StreamedImages
from cnnjax.errors import DataError, show

SAMPLE = 1000  # files whose headers tell the colors and the size of all
LISTED = 20  # bad files that a note names
AT_ONCE = 256  # files that the threads get at a time


class FileSettings(NamedTuple):
    """How image files are read.

    Attributes:
        size: height and width of the arrays; ``None`` expects files of one size.
        resize: ``"crop"``, ``"squash"`` or ``"pad"``, see ``Decoding``.
        crop_fraction: see ``Decoding``.
        part: the smallest and the largest share of its area that a training batch sees
            of an image, chosen at random; ``None`` for the whole image.
        bad_files: ``"fail"``, or ``"skip"`` to leave out files that cannot be decoded.
        workers: threads that decode; 0 decodes in the thread that reads, and ``None``
            means one per CPU core.
        like: takes colors and depth from there; ``None`` goes by the files.
    """

    size: tuple[int, int] | None = None
    resize: str = "crop"
    crop_fraction: float = 1.0
    part: tuple[float, float] | None = None
    bad_files: str = "fail"
    workers: int | None = None
    like: Decoding | None = None


def open_files(
    raw: RawDataset, settings: FileSettings, *, streaming: bool
) -> RawDataset:
    """Replaces image files by arrays, or by images that are decoded when they are read.

    All files are decoded once at the start, by several threads, so that a damaged one
    is found before training. If all of them are gray (by the headers of up to 1,000
    files), arrays have one channel, otherwise three. Gray values keep 16 bits if all
    of those files have more than 8.

    Args:
        raw: what a source returned.
        settings: how files are read.
        streaming: whether to decode files again whenever a batch needs them.

    Returns:
        The same splits, without the files that were skipped, and a note about these.

    Raises:
        DataError: a file that cannot be decoded, or one of another size.
    """
    files = {
        name: split
        for name in SPLITS
        if (split := getattr(raw, name)) is not None
        and isinstance(split[0], EncodedImages)
    }
    if not files:
        if settings.size is not None:
            raise DataError(
                f"data.image_size is {settings.size}, but the source holds arrays,"
                " which are not resized: leave it out"
            )
        return raw
    if settings.part is not None and not (streaming and settings.size):
        raise DataError(
            f"data.random_part is {settings.part}, which needs data.streaming=true and"
            " data.image_size: files are decoded anew for each random part"
        )
    decoding, size = _decide([split[0] for split in files.values()], settings)
    shape = (*size, decoding.channels)
    opened: dict[str, Split] = {}
    skipped: list[str] = []
    for name, (images, labels) in files.items():
        labels = np.asarray(labels)
        workers = settings.workers
        workers = (os.cpu_count() or 1) if workers is None else workers
        files_of = _Files(images, decoding, shape, workers, settings.part)
        arrays, bad = files_of.read_all(name, keep=not streaming)
        if bad and settings.bad_files == "fail":
            first = min(bad)
            label = labels[first].tolist()
            names = raw.class_names or ()
            what = f"label {show(label)}"
            if labels.ndim == 1 and labels.dtype.kind in "iu":
                known = names[label] if 0 <= label < len(names) else label
                what = f"class {known}"
            raise DataError(
                f"{bad[first]} ({what}, {name} split): repair or remove the file, or"
                " set data.bad_files to 'skip'"
            )
        good = np.setdiff1d(np.arange(len(labels)), [*bad])
        if bad and not len(good):
            raise DataError(
                f"none of the {len(labels):,} files of the {name} split can be decoded;"
                f" the first: {bad[min(bad)]}"
            )
        skipped += bad.values()
        if arrays is None:
            dtype = decoding.dtype
            draw = files_of.draw if settings.part else None
            found = StreamedImages(
                f"{name} split", files_of.read, shape, dtype, good, draw, True
            )
        else:
            found = arrays if len(good) == len(arrays) else arrays[good]
        opened[name] = Split(found, labels[good])
    notes = (*raw.notes, _note(skipped)) if skipped else raw.notes
    return raw._replace(**opened, decoding=decoding, notes=notes)


def _decide(
    splits: Sequence[EncodedImages], settings: FileSettings
) -> tuple[Decoding, Sequence[int]]:
    """How files become arrays, and of which size, by the headers of some of them."""
    headers: dict[str, Header] = {}
    for images in splits:
        count = min(len(images), SAMPLE // len(splits))
        for number in map(int, np.linspace(0, len(images) - 1, count)):
            name = str(images.names[number])
            try:
                headers[name] = read_header(images.read(number), name)
            except DataError:
                continue  # it is reported when all files are decoded
    is_gray = bool(headers) and all(header.is_gray for header in headers.values())
    decoding = Decoding(
        size=settings.size,
        resize=settings.resize,
        crop_fraction=settings.crop_fraction,
        channels=1 if is_gray else 3,
        deep=is_gray and all(header.is_deep for header in headers.values()),
    )
    if settings.like is not None:
        channels, deep = settings.like.channels, settings.like.deep
        decoding = decoding._replace(channels=channels, deep=deep)
    if settings.size is not None:
        return decoding, settings.size
    if not headers:
        return decoding, (1, 1)  # no file is an image, which is reported later
    first, *others = headers
    size = headers[first].size
    for name in others:
        if headers[name].size != size:
            raise DataError(
                f"{name} has {_pixels(headers[name].size)} pixels, but {first} has"
                f" {_pixels(size)} (height x width): set data.image_size, such as"
                " (64, 64), to resize all images"
            )
    return decoding, size


def _pixels(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]}"


def _note(skipped: Sequence[str]) -> str:
    shown = "; ".join(skipped[:LISTED])
    more = f"; and {len(skipped) - LISTED:,} more" if len(skipped) > LISTED else ""
    files = "bad file" if len(skipped) == 1 else "bad files"
    return f"skipped {len(skipped):,} {files}: {shown}{more}"


@dataclass(frozen=True, eq=False)
class _Files:
    """The image files of one split, and how they become arrays of one shape."""

    images: EncodedImages
    decoding: Decoding
    shape: tuple[int, ...]
    workers: int
    part: tuple[float, float] | None

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Decodes files ``(k,)`` to an array ``(k, *shape)``.

        Raises:
            DataError: a file that cannot be decoded any more.
        """
        return self._stack(len(indices), self._decoded(indices.tolist()))

    def draw(self, indices: np.ndarray, seeds: Sequence[tuple[int, ...]]) -> np.ndarray:
        """Like ``read``, a random part of each image, as its seed decides."""
        least, most = self.part or (1.0, 1.0)

        def choose(seed: tuple[int, ...]) -> Callable[[float], Box]:
            random = np.random.default_rng(seed)
            return lambda aspect: random_box(random, aspect, least, most)

        boxes = [choose(seed) for seed in seeds]
        return self._stack(len(indices), self._decoded(indices.tolist(), boxes))

    def _stack(
        self, count: int, decoded: Iterator[np.ndarray | DataError]
    ) -> np.ndarray:
        arrays = np.empty((count, *self.shape), self.decoding.dtype)
        for row, found in zip(arrays, decoded, strict=True):
            if isinstance(found, DataError):
                raise found
            row[...] = found
        return arrays

    def read_all(
        self, split: str, *, keep: bool
    ) -> tuple[np.ndarray | None, dict[int, str]]:
        """Decodes all files: arrays if they are kept, and what is wrong with which."""
        count, bad, arrays = len(self.images), {}, None
        if keep:
            shape, dtype = (count, *self.shape), self.decoding.dtype
            check_size(f"the {split} split", math.prod(shape) * dtype.itemsize)
            arrays = np.zeros(shape, dtype)
        task = f"decoding the {split} split" if keep else f"checking the {split} split"
        for number, found in enumerate(self._decoded(range(count))):
            if isinstance(found, DataError):
                bad[number] = str(found)
            elif arrays is not None:
                arrays[number] = found
            if number % 64 == 0 or number + 1 == count:
                progress.tell(task, number + 1, count)
        return arrays, bad

    def _decoded(
        self,
        numbers: Sequence[int],
        choices: Sequence[Callable[[float], Box]] | None = None,
    ) -> Iterator[np.ndarray | DataError]:
        """The arrays of some files in their order, or what is wrong with them."""
        chosen = choices or [None] * len(numbers)
        if not self.workers:
            yield from map(self._decode, numbers, chosen)
            return
        with ThreadPoolExecutor(self.workers) as pool:
            for start in range(0, len(numbers), AT_ONCE):
                some = slice(start, start + AT_ONCE)
                yield from pool.map(self._decode, numbers[some], chosen[some])

    def _decode(
        self, number: int, choose: Callable[[float], Box] | None
    ) -> np.ndarray | DataError:
        name = self.images.names[number]
        try:
            array = decode(self.images.read(number), self.decoding, name, choose)
        except DataError as error:
            return error
        if array.shape != self.shape:
            return DataError(
                f"{name} has {_pixels(array.shape)} pixels, but others have"
                f" {_pixels(self.shape)} (height x width): set data.image_size, such"
                " as (64, 64), to resize all images"
            )
        return array
