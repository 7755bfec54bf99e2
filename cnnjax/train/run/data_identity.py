"""Whether the data of a run is still the data that it started with."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.data import Dataset, Split, StreamedImages
from cnnjax.errors import ConfigError
from cnnjax.files import write_whole
from cnnjax.json_file import read_json

NAME = "data.json"
SAMPLE = 256  # images of a split that are read if reading all takes too long
ROWS = 2**24  # bytes of one update of a checksum, which may need a copy
OLD_KEYS = ("examples", "shape", "labels")  # older runs noted a list of these

WORDS = {
    "examples": "number of examples",
    "shape": "shape of an image",
    "labels": "checksum of the labels",
    "sample": "checksum of a sample of the images",
    "images": "checksum of the images",
}
"""The names of the values in messages."""

Identity = dict[str, dict[str, Any]]


def describe(dataset: Dataset) -> Identity:
    """What tells one data set from another, for each split, as values for JSON.

    ``examples`` is how many there are and ``shape`` the shape of one; ``labels``,
    ``sample`` and ``images`` are checksums of all labels in their order, of some evenly
    spaced images, and of all images. Streamed images have no checksum of all of them.
    Checksums depend on the order, so a different split changes them.
    """
    return {
        name: _describe(split)
        for name, split in zip(dataset._fields[:3], dataset[:3], strict=True)
    }


def _describe(split: Split) -> dict[str, Any]:
    images, labels = split
    count = len(labels)
    chosen = np.unique(np.linspace(0, count - 1, SAMPLE).astype(np.int64))
    found = {
        "examples": count,
        "shape": list(images.shape[1:]),
        "labels": _checksum(labels),
        "sample": _checksum(images[chosen]),
    }
    if not isinstance(images, StreamedImages):
        found["images"] = _checksum(images)
    return found


def _checksum(array: np.ndarray) -> int:
    """The CRC-32 of the values in C order, without a copy of the whole array."""
    total, size = 0, max(1, ROWS * len(array) // array.nbytes)
    for start in range(0, len(array), size):
        rows = np.ascontiguousarray(array[start : start + size])
        total = zlib.crc32(rows.data, total)
    return total


def check(stored: Any, found: Identity, run: Path) -> None:
    """Refuses data that is not that of a run.

    Args:
        stored: what ``describe`` returned when the run started. Older runs noted less;
            missing values are not compared.
        found: what it returns now.
        run: the working directory, for the message.

    Raises:
        ConfigError: the first difference.
        ValueError: ``stored`` has the wrong type.
    """
    if not isinstance(stored, Mapping):
        raise ValueError(f"it holds {str(stored)[:60]!r}, expected splits by name")
    for name, now in found.items():
        before = _values(name, stored)
        for key in (key for key in now if key in before):
            if now[key] != before[key]:
                raise ConfigError(
                    f"the {name} split is not that of the run in {run}: its"
                    f" {WORDS[key]} is {now[key]}, and was {before[key]}; restore"
                    " the data, or give another --workdir"
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


def check_file(workdir: Path, found: Identity) -> None:
    """Refuses data that does not match the file in ``workdir``, if there is one.

    Raises:
        ConfigError: different data, or a damaged file.
    """
    path = workdir / NAME
    try:
        check(read_json(path), found, workdir)
    except FileNotFoundError:
        return
    except ConfigError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} is damaged ({error}); restore it, or give another --workdir"
        ) from error


def write(workdir: Path, identity: Identity) -> None:
    """Writes the file for later runs to check."""
    write_whole(workdir / NAME, json.dumps(identity, indent=2) + "\n")
