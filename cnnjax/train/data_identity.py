"""Whether the data of a run is still what it was when the run began."""

import json
import zlib
from pathlib import Path

import numpy as np

from cnnjax.config import ConfigError
from cnnjax.data import Dataset
from cnnjax.json_file import read_json
from cnnjax.whole_file import write_whole

NAME = "data.json"


def describe(dataset: Dataset) -> dict[str, list]:
    """For each split its number of examples, their shape, and a checksum of the labels.

    The order of the labels tells the split: other examples held out give another one.
    """
    return {
        name: [
            len(split.labels),
            list(split.images.shape[1:]),
            zlib.crc32(np.ascontiguousarray(split.labels).tobytes()),
        ]
        for name, split in zip(dataset._fields[:3], dataset[:3], strict=True)
    }


def check(workdir: Path, dataset: Dataset) -> None:
    """Refuses data that is not that of the run in ``workdir``.

    Raises:
        ConfigError: other splits, or a damaged description of them.
    """
    path = workdir / NAME
    if not path.exists():
        return
    try:
        stored = dict(read_json(path))
    except (OSError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is damaged ({error})") from error
    for name, found in describe(dataset).items():
        if stored.get(name) != found:
            raise ConfigError(
                f"the {name} split is not that of the run in {workdir}: it has"
                f" [examples, shape, checksum of labels] {found}, and had"
                f" {stored.get(name)}; bring the data back, or give another --workdir"
            )


def write(workdir: Path, dataset: Dataset) -> None:
    """Writes the description for later runs to check."""
    write_whole(workdir / NAME, json.dumps(describe(dataset)) + "\n")
