"""Mean and standard deviation per channel: measured, applied, stored in a file."""

import json
import math
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


def measure(images: np.ndarray | StreamedImages) -> Normalization:
    """Measures images ``(n, *spatial, channels)``; pass the training split only.

    A channel without variance gets the standard deviation 1. Sums are computed in
    float64, over a few images at a time. Streamed images are read twice; of more than
    10,000 image files, which must be decoded for that, 10,000 evenly spaced ones are.

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
    mean = _mean(images, lambda x: x, "1 of 2")
    variance = _mean(images, lambda x: np.square(x - mean), "2 of 2")
    if not np.isfinite(variance).all():
        raise DataError("images hold NaN or infinity: remove or repair them")
    std = np.sqrt(variance)
    # Rounding leaves a constant channel with a variance of almost, but not exactly,
    # zero.
    std = np.where(std <= 1e-7 * np.abs(mean), 1, std)
    return Normalization(mean.astype(np.float32), std.astype(np.float32))


def _mean(images, function, which: str) -> np.ndarray:
    *positions, channels = images.shape
    size = max(1, _CHUNK_VALUES // math.prod(images.shape[1:]))
    total = np.zeros(channels)
    for start in range(0, len(images), size):
        x = images[start : start + size].reshape(-1, channels).astype(np.float64)
        total += function(x).sum(axis=0)
        task = f"measuring normalization, pass {which}"
        progress.tell(task, min(start + size, len(images)), len(images))
    return total / math.prod(positions)


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
