"""Mean and standard deviation per channel: measured, applied, stored in a file."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnjax import progress
from cnnjax.data.stream import StreamedImages
from cnnjax.errors import DataError
from cnnjax.files import write_whole
from cnnjax.json_file import read_json
from cnnjax.typing import Images

SAMPLE = 10_000
"""How many image files are measured, if they are decoded when they are read."""

_CHUNK_VALUES = 2**20


class Normalization(NamedTuple):
    """Mean and standard deviation of each channel, float32 ``(channels,)``."""

    mean: np.ndarray
    std: np.ndarray


IMAGENET = Normalization(
    np.array([123.675, 116.28, 103.53], np.float32),
    np.array([58.395, 57.12, 57.375], np.float32),
)
"""That of ImageNet for red, green and blue from 0 to 255; on a scale from 0 to 1, the
means are 0.485, 0.456, 0.406 and the standard deviations 0.229, 0.224, 0.225."""


def measure(images: np.ndarray | StreamedImages) -> Normalization:
    """Measures images ``(n, *spatial, channels)``; pass the training split only.

    A channel without variance gets the standard deviation 1. Images of 8 bits are read
    once, a few at a time, and their values counted; others are read twice, and summed
    in float64. Of more than 10,000 image files that are decoded when they are read,
    10,000 evenly spaced ones are measured.

    Raises:
      DataError: if there are no images, or their values are not finite.
    """
    if len(images.shape) < 2 or 0 in images.shape:
        raise DataError(
            f"images have shape {images.shape}: expected (n, *spatial, channels)"
            " without empty axes"
        )
    if isinstance(images, StreamedImages) and images.decodes and len(images) > SAMPLE:
        images = images.take(np.linspace(0, len(images) - 1, SAMPLE).astype(np.int64))
    if images.dtype == np.uint8:
        mean, variance = _count(images)
    else:
        mean = _mean(images, lambda x: x, ", pass 1 of 2")
        variance = _mean(images, lambda x: np.square(x - mean), ", pass 2 of 2")
    if not np.isfinite(variance).all():
        raise DataError("images hold NaN or infinity: remove or repair them")
    std = np.sqrt(variance)
    # Rounding leaves a constant channel with a variance of almost, but not exactly,
    # zero.
    std = np.where(std <= 1e-7 * np.abs(mean), 1, std)
    return Normalization(mean.astype(np.float32), std.astype(np.float32))


def _count(images) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of 8-bit images, from the number of times each value occurs."""
    counts = np.zeros((images.shape[-1], 256), np.int64)
    for x in _chunks(images):
        for channel, values in enumerate(x.T):
            counts[channel] += np.bincount(values, minlength=256)
    values, total = np.arange(256), counts.sum(axis=1)
    mean = counts @ values / total
    squares = np.square(values - mean[:, None])
    return mean, (counts * squares).sum(axis=1) / total


def _mean(images, function, which: str) -> np.ndarray:
    total = np.zeros(images.shape[-1])
    for x in _chunks(images, which):
        total += function(x.astype(np.float64)).sum(axis=0)
    return total / math.prod(images.shape[:-1])


def _chunks(images, which: str = "") -> Iterator[np.ndarray]:
    """The pixels of a few images at a time, ``(n, channels)``."""
    size = max(1, _CHUNK_VALUES // math.prod(images.shape[1:]))
    for start in range(0, len(images), size):
        yield images[start : start + size].reshape(-1, images.shape[-1])
        done = min(start + size, len(images))
        progress.tell(f"measuring normalization{which}", done, len(images))


def normalize(images: Images, normalization: Normalization) -> Images:
    """Returns ``(images - mean) / std`` as float32, for NumPy or JAX arrays.

    Raises:
      DataError: if the number of channels differs.
    """
    mean, std = normalization
    if images.shape[-1:] != mean.shape:
        raise DataError(
            f"images of shape {images.shape} cannot be normalized: the statistics have"
            f" {len(mean)} channels"
        )
    # As many axes as the images have: JAX may be set to refuse other arithmetic.
    mean, std = (array.reshape(*[1] * (images.ndim - 1), -1) for array in (mean, std))
    return (images.astype(np.float32) - mean) / std


def write_normalization(normalization: Normalization, path: str | Path) -> None:
    """Writes a JSON file atomically: other processes see all of it or nothing."""
    write_whole(Path(path), json.dumps(as_lists(normalization)))


def as_lists(normalization: Normalization) -> dict[str, list[float]]:
    """The statistics as values for JSON, bit for bit."""
    return {name: x.tolist() for name, x in normalization._asdict().items()}


def read_normalization(path: str | Path) -> Normalization:
    """Reads what ``write_normalization`` wrote, bit for bit.

    Raises:
      DataError: if the file is missing or damaged.
    """
    try:
        content = read_json(path)
        with np.errstate(over="ignore"):  # infinity is refused below
            mean, std = (np.array(content[k], np.float32) for k in ("mean", "std"))
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise DataError(
            f"{path} cannot be read as a normalization ({type(error).__name__}:"
            f" {error}): measure the training split again"
        ) from error
    finite = np.isfinite(mean).all() and np.isfinite(std).all()
    if mean.ndim != 1 or mean.shape != std.shape or not finite or not (std > 0).all():
        raise DataError(
            f"{path} holds mean {mean.tolist()} and std {std.tolist()}: expected finite"
            " numbers, as many of each, std above 0; measure the training split again"
        )
    return Normalization(mean, std)
