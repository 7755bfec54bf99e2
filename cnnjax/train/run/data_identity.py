"""Whether the data of a run is still the data that it started with."""

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax import progress
from cnnjax.data import Dataset, Split, StreamedImages
from cnnjax.data.dataset import SPLITS
from cnnjax.errors import ConfigError, show
from cnnjax.files import write_whole
from cnnjax.json_file import read_json

NAME = "data.json"
SAMPLE = 1000  # images of a split that are read if reading all takes too long
OLD_SAMPLE = 256  # the same in older runs
ROWS = 2**24  # bytes of one update of a digest, which may need a copy
OLD_KEYS = ("examples", "shape", "labels")  # older runs noted a list of these

WORDS = {
    "examples": "number of examples",
    "shape": "shape of an image",
    "labels": "digest of the labels",
    "sample": "digest of a sample of the images",
    "images": "digest of the images",
}
"""The names of the values in messages."""

Identity = dict[str, dict[str, Any]]


def describe(dataset: Dataset, names: Sequence[str] = SPLITS) -> Identity:
    """What tells one data set from another, for each split, as values for JSON.

    ``examples`` is how many there are and ``shape`` the shape of one; ``labels``,
    ``sample`` and ``images`` are digests (SHA-256) of all labels in their order, of
    some evenly spaced images, and of all images. Streamed images have no digest of all
    of them. Digests depend on the order, so a different split changes them.
    ``names`` are the splits to describe.
    """
    return {name: _describe(getattr(dataset, name)) for name in names}


def _describe(split: Split) -> dict[str, Any]:
    images, labels = split
    found = {
        "examples": len(labels),
        "shape": list(images.shape[1:]),
        "labels": _digest(labels),
        "sample": _digest(_sample(split, SAMPLE)),
    }
    if not isinstance(images, StreamedImages):
        found["images"] = _digest(images)
    return found


def _sample(split: Split, count: int) -> np.ndarray:
    """Some evenly spaced images, among them the first and the last."""
    chosen = np.linspace(0, len(split.labels) - 1, count).astype(np.int64)
    return split.images[np.unique(chosen)]


def _digest(array: np.ndarray) -> str:
    digest, done = hashlib.sha256(), 0
    for rows in _rows(array):
        digest.update(rows)
        done += len(rows)
        progress.tell("identifying the data", done, len(array))
    return digest.hexdigest()


def _checksum(array: np.ndarray) -> int:
    """The CRC-32 of an array, which older runs noted instead of a digest."""
    total = 0
    for rows in _rows(array):
        total = zlib.crc32(rows, total)
    return total


def _rows(array: np.ndarray) -> Iterator[memoryview]:
    """The bytes of an array in C order, without a copy of the whole array."""
    size = max(1, ROWS * len(array) // array.nbytes)
    for start in range(0, len(array), size):
        yield np.ascontiguousarray(array[start : start + size]).data


def _as_noted(key: str, value: Any, noted: Any, split: Split) -> Any:
    """A value of the data as it is now, in the form of a noted one.

    Older runs noted checksums, which are whole numbers, instead of digests.
    """
    if not isinstance(value, str) or isinstance(noted, str):
        return value
    if key == "sample":
        return _checksum(_sample(split, OLD_SAMPLE))
    images = split.labels if key == "labels" else split.images
    return noted if isinstance(images, StreamedImages) else _checksum(images)


def check(stored: Any, found: Identity, dataset: Dataset, run: Path) -> None:
    """Refuses data that is not that of a run.

    Args:
        stored: what ``describe`` returned when the run started. Older runs noted less,
            or checksums instead of digests; missing values are not compared.
        found: what it returns now.
        dataset: the data as it is now.
        run: the working directory, for the message.

    Raises:
        ConfigError: the first difference.
        ValueError: ``stored`` has the wrong type.
    """
    if not isinstance(stored, Mapping):
        raise ValueError(f"it holds {str(stored)[:60]!r}, expected splits by name")
    for name, values in found.items():
        before = _values(name, stored)
        for key in (key for key in values if key in before):
            split = getattr(dataset, name)
            now = _as_noted(key, values[key], before[key], split)
            if now != before[key]:
                raise ConfigError(
                    f"the {name} split is not that of the run in {run}: its"
                    f" {WORDS[key]} is {show(now)}, and was {show(before[key])};"
                    " restore the data, or give another --workdir"
                )


def _values(name: str, stored: Mapping[str, Any]) -> Mapping[str, Any]:
    values = stored.get(name)
    if isinstance(values, list):
        values = dict(zip(OLD_KEYS, values, strict=False))
    if not isinstance(values, Mapping) or not {*OLD_KEYS} <= {*values}:
        raise ValueError(
            f"its {name} split is {str(values)[:60]}, expected {', '.join(OLD_KEYS)}"
        )
    return values


def check_file(workdir: Path, found: Identity, dataset: Dataset) -> None:
    """Refuses data that does not match the file in ``workdir``, if there is one.

    Raises:
        ConfigError: different data, or a damaged file.
    """
    path = workdir / NAME
    try:
        check(read_json(path), found, dataset, workdir)
    except FileNotFoundError:
        return
    except ConfigError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} is damaged ({error}); restore it, or give another --workdir"
        ) from error


def check_comparable(workdir: Path, old: str, new: str) -> None:
    """Refuses a run whose images cannot be compared with those at another place.

    Args:
        workdir: of the run.
        old: where its data came from.
        new: where they come from now.

    Raises:
        ConfigError: no file, a damaged one, or one of a version that noted no images.
    """
    path = workdir / NAME
    try:
        stored = read_json(path)
        if all("sample" in _values(name, stored) for name in SPLITS):
            return
        why = "does not note the images"
    except FileNotFoundError:
        why = "is missing"
    except (OSError, ValueError, AttributeError) as error:
        why = f"is damaged ({error})"
    raise ConfigError(
        f"data.source is {new!r}, and was {old!r} for the run in {workdir}, but {path}"
        f" {why}, so that nothing shows that the data is the same; use"
        f" {old!r}, restore the file, or give another --workdir"
    )


def write(workdir: Path, identity: Identity) -> None:
    """Writes the file for later runs to check."""
    write_whole(workdir / NAME, json.dumps(identity, indent=2) + "\n")
