"""Handwritten digits of 8 x 8 pixels that come with scikit-learn."""

import numpy as np

from cnnjax.data.dataset import RawDataset, Split
from cnnjax.data.errors import DataError


def load_digits(argument: str = "") -> RawDataset:
    """Reads the 1,797 digits: uint8 ``(1797, 8, 8, 1)`` with values 0..16.

    They need no download and have no validation or test split of their own.
    From the UCI repository: https://doi.org/10.24432/C50P49.

    Raises:
      DataError: if there is an argument.
    """
    if argument:
        raise DataError(f"'digits' takes no argument, got {argument!r}")
    # Imported here because it takes a second.
    from sklearn import datasets

    images, labels = datasets.load_digits(return_X_y=True)
    images = np.asarray(images).astype(np.uint8).reshape(-1, 8, 8, 1)
    return RawDataset(train=Split(images, np.asarray(labels)), num_classes=10)
