"""Where data comes from: the kinds of source by name."""

import difflib
from collections.abc import Callable

from cnnjax.data.dataset import Dataset, RawDataset, make_dataset
from cnnjax.data.digits import load_digits
from cnnjax.data.errors import DataError
from cnnjax.data.glyphs import load_glyphs
from cnnjax.data.idx import load_idx
from cnnjax.data.npz import load_npz
from cnnjax.data.synthetic import load_synthetic
from cnnjax.data.tfds import load_tfds

SOURCES: dict[str, Callable[[str], RawDataset]] = {
    "digits": load_digits,
    "glyphs1d": load_glyphs,
    "idx": load_idx,
    "npz": load_npz,
    "synthetic": load_synthetic,
    "tfds": load_tfds,
}
"""From a kind to its loader, which gets what follows the colon, or ``""``."""


def load_dataset(
    source: str, *, validation_fraction: float, test_fraction: float, seed: int
) -> Dataset:
    """Reads a data set into memory, checks it, and completes its splits.

    Args:
      source: ``kind`` or ``kind:argument``: ``digits``, ``glyphs1d``, ``idx:<folder>``,
        ``npz:<file>``, ``synthetic:<height>x<width>x<channels>,<classes>,<examples>``,
        ``tfds:<name>`` or ``tfds:<name>@<data_dir>``.
      validation_fraction: share of train that becomes the validation split where the
        source has none.
      test_fraction: share of train that becomes the test split where the source has
        none.
      seed: decides which examples are held out.

    Raises:
      DataError: if there is no such source, or its data cannot be used.
    """
    kind, _, argument = source.partition(":")
    if kind not in SOURCES:
        near = difflib.get_close_matches(kind, SOURCES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DataError(
            f"there is no data source {kind!r}: {hint}expected one of"
            f" {', '.join(SOURCES)}"
        )
    return make_dataset(
        SOURCES[kind](argument),
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
    )
