"""Image files as images of a data set: checked, decoded at once or when read."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnjax.data.dataset import SPLITS, RawDataset, Split
from cnnjax.data.decoding import Decoding, Header, read_header
from cnnjax.data.encoded_images import EncodedImages
from cnnjax.data.file_reader import FileReader, pixels
from cnnjax.data.image_cache import ImageCache
from cnnjax.data.masks import read_masks
from cnnjax.data.stream import StreamedImages
from cnnjax.errors import DataError, show

SAMPLE = 1000  # files whose headers tell the colors and the size of all
LISTED = 20  # bad files that a note names


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
        cache: ``"memory"`` or ``"disk"`` keeps decoded images there; ``"none"`` does
            not.
        cache_folder: where on disk, and where the results of checking files are kept;
            ``None`` for nowhere.
    """

    size: tuple[int, int] | None = None
    resize: str = "crop"
    crop_fraction: float = 1.0
    part: tuple[float, float] | None = None
    bad_files: str = "fail"
    workers: int | None = None
    like: Decoding | None = None
    cache: str = "none"
    cache_folder: Path | None = None


def open_files(
    raw: RawDataset, settings: FileSettings, *, streaming: bool
) -> RawDataset:
    """Replaces image files by arrays, or by images that are decoded when they are read.

    All files are decoded once at the start, by several threads, so that a damaged one
    is found before training; those that a cache knows need not be. If all of them are
    gray (by the headers of up to 1,000 files), arrays have one channel, otherwise
    three. Gray values keep 16 bits if all of those files have more than 8.

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
    if settings.part is not None and settings.cache != "none":
        raise DataError(
            f"data.cache is {settings.cache!r} with data.random_part, which crops each"
            " part from the original image: set data.cache to 'none', or leave"
            " data.random_part out"
        )
    if settings.part is not None and any(
        isinstance(split[1], EncodedImages) for split in files.values()
    ):
        raise DataError(
            f"data.random_part is {settings.part}, which does not crop masks with their"
            " images: leave it out, and put 'resized_crop' into data.augment"
        )
    decoding, size = _decide([split[0] for split in files.values()], settings)
    shape = (*size, decoding.channels)
    opened: dict[str, Split] = {}
    names: dict[str, np.ndarray] = {}
    skipped: list[str] = []
    notes: list[str] = []
    keep = not streaming or settings.cache == "memory"
    for name, (images, labels) in files.items():
        masks = labels if isinstance(labels, EncodedImages) else None
        labels = np.asarray(masks.names if masks else labels)
        workers = count_workers(settings.workers)
        cache = _make_cache(images, decoding, shape, settings, keep=keep)
        reader = FileReader(images, decoding, shape, workers, settings.part, cache)
        arrays, bad = reader.read_all(name, keep=keep)
        if cache and cache.problem and settings.cache == "disk":
            notes.append(f"the {name} split is not cached: {cache.problem}")
        if bad and settings.bad_files == "fail":
            first = min(bad)
            label = labels[first].tolist()
            classes = raw.class_names or ()
            what = f"{'mask' if masks else 'label'} {show(label)}"
            if labels.ndim == 1 and labels.dtype.kind in "iu":
                known = classes[label] if 0 <= label < len(classes) else label
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
            draw = reader.draw if settings.part else None
            found = StreamedImages(
                f"{name} split", reader.read, shape, dtype, good, draw, True
            )
        else:
            found = arrays if len(good) == len(arrays) else arrays[good]
        if masks:
            labels = read_masks(images, masks, decoding, shape, workers, good)
        else:
            labels = labels[good]
        opened[name] = Split(found, labels)
        names[name] = np.array([*map(str, images.names)], object)[good]
    if skipped:
        notes.append(_note(skipped))
    told = (*raw.notes, *notes)
    return raw._replace(**opened, decoding=decoding, notes=told, files=names)


def _make_cache(
    images: EncodedImages,
    decoding: Decoding,
    shape: tuple[int, ...],
    settings: FileSettings,
    *,
    keep: bool,
) -> ImageCache | None:
    """The images of a split on disk, or which of its files are damaged."""
    on_disk = settings.cache == "disk"
    if settings.cache_folder is None or (keep and not on_disk):
        return None
    folder = settings.cache_folder
    return ImageCache(folder, images, decoding, shape, keep_images=on_disk)


def count_workers(setting: int | None) -> int:
    """The threads that decode: those of ``data.workers``, or one per CPU core."""
    return (os.cpu_count() or 1) if setting is None else setting


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
                f"{name} has {pixels(headers[name].size)} pixels, but {first} has"
                f" {pixels(size)} (height x width): set data.image_size, such as"
                " (64, 64), to resize all images"
            )
    return decoding, size


def _note(skipped: Sequence[str]) -> str:
    shown = "; ".join(skipped[:LISTED])
    more = f"; and {len(skipped) - LISTED:,} more" if len(skipped) > LISTED else ""
    files = "bad file" if len(skipped) == 1 else "bad files"
    return f"skipped {len(skipped):,} {files}: {shown}{more}"
