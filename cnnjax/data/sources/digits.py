"""Handwritten digits of 8 x 8 pixels that come with scikit-learn."""

import importlib.util
from pathlib import Path

import numpy as np

from cnnjax.data.dataset import RawDataset, Split
from cnnjax.errors import DataError

FILE = "datasets/data/digits.csv.gz"


def load_digits(argument: str = "") -> RawDataset:
    """Reads the 1,797 digits: uint8 ``(1797, 8, 8, 1)`` with values 0..16.

    They need no download and have no validation or test split of their own.
    From the UCI repository: https://doi.org/10.24432/C50P49.

    Raises:
      DataError: if there is an argument, or no scikit-learn.
    """
    if argument:
        raise DataError(f"'digits' takes no argument, got {argument!r}")
    rows = np.loadtxt(_find_file(), delimiter=",", dtype=np.uint8)
    images = np.ascontiguousarray(rows[:, :-1]).reshape(-1, 8, 8, 1)
    labels = rows[:, -1].astype(np.int64)
    return RawDataset(Split(images, labels), class_names=tuple("0123456789"))


def _find_file() -> Path:
    """The file of scikit-learn, whose own import takes a second."""
    spec = importlib.util.find_spec("sklearn")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, FILE)
        if path.is_file():
            return path
    raise DataError(
        f"'digits' is read from scikit-learn's file {FILE}, which is not installed; run"
        " pip install scikit-learn"
    )
