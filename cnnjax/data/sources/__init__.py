"""Data sources by name."""

import difflib
import os
from collections.abc import Callable, Sequence

from cnnjax.config.import_path import is_import_path, searched
from cnnjax.config.values import FROM_PYTHON
from cnnjax.data.dataset import Dataset, RawDataset, Split, make_dataset
from cnnjax.data.encoded_images import EncodedImages
from cnnjax.data.image_files import FileSettings, open_files
from cnnjax.data.sources.csv_table import load_csv
from cnnjax.data.sources.digits import load_digits
from cnnjax.data.sources.folder import load_folder
from cnnjax.data.sources.glyphs import load_glyphs
from cnnjax.data.sources.hdf5 import load_hdf5, stream_hdf5
from cnnjax.data.sources.idx import load_idx, stream_idx
from cnnjax.data.sources.masks import load_masks
from cnnjax.data.sources.npz import load_npz, stream_npz
from cnnjax.data.sources.own import is_found, load_own
from cnnjax.data.sources.parquet import load_parquet
from cnnjax.data.sources.synthetic import load_synthetic
from cnnjax.data.sources.tar import load_tar
from cnnjax.data.sources.tfds import load_tfds, stream_tfds
from cnnjax.data.tasks import TASKS
from cnnjax.errors import DataError

SOURCES: dict[str, Callable[..., RawDataset]] = {
    "csv": load_csv,
    "digits": load_digits,
    "folder": load_folder,
    "glyphs1d": load_glyphs,
    "hdf5": load_hdf5,
    "idx": load_idx,
    "masks": load_masks,
    "npz": load_npz,
    "parquet": load_parquet,
    "synthetic": load_synthetic,
    "tar": load_tar,
    "tfds": load_tfds,
}
"""Loaders by kind; each gets the text after the colon, or ``""``."""

STREAMS: dict[str, Callable[..., RawDataset]] = {
    "csv": load_csv,
    "folder": load_folder,
    "hdf5": stream_hdf5,
    "idx": stream_idx,
    "masks": load_masks,
    "npz": stream_npz,
    "parquet": load_parquet,
    "tar": load_tar,
    "tfds": stream_tfds,
}
"""The same for the kinds in ``SOURCES`` that can leave their images on disk."""

SEPARATE = ("folder", "hdf5", "idx", "masks", "npz", "tfds")
"""The kinds whose loaders take ``only``, the one split to read."""


FROM_FILES = FileSettings()


def load_dataset(
    source: str,
    *,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    streaming: bool = False,
    files: FileSettings = FROM_FILES,
    tasks: Sequence[str] = TASKS,
) -> Dataset:
    """Reads a data set, checks it, and completes its splits.

    Args:
      source: ``kind`` or ``kind:argument``: ``csv:<file>``, ``digits``,
        ``folder:<folder>``, ``glyphs1d``, ``hdf5:<file>``, ``idx:<folder>``,
        ``masks:<folder>``, ``npz:<file>``, ``parquet:<files>``, ``tar:<files>``,
        ``synthetic:<height>x<width>x<channels>,<classes>,<examples>``,
        ``tfds:<name>`` or ``tfds:<name>@<data_dir>``; or an import path of your own
        loader, ``module:function`` or ``module:function:argument``.
      validation_fraction: share of train that becomes the validation split if the
        source has none.
      test_fraction: share of train that becomes the test split if the source has none.
      seed: determines which examples are held out.
      streaming: whether images stay on disk and are read batch by batch. Splits and
        batches are bit-equal in both cases; labels are always in memory.
      files: how image files are read, for sources that hold such files.
      tasks: see ``make_dataset``.

    Raises:
      DataError: if the source does not exist or cannot be streamed, or if its data
        cannot be used.
    """
    return make_dataset(
        load_raw(source, streaming=streaming, files=files),
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
        tasks=tasks,
    )


def load_split(
    source: str, name: str, *, streaming: bool, files: FileSettings = FROM_FILES
) -> RawDataset | None:
    """Reads only one split of a source, if the source has it and can read it alone.

    Of ``"train"``, other splits may be held out, so the source is read whole.

    Args:
      source: see ``load_dataset``.
      name: ``"train"``, ``"validation"`` or ``"test"``.
      streaming: whether images stay on disk.
      files: see ``load_dataset``.

    Raises:
      DataError: if the source does not exist, cannot be streamed, or is damaged.
    """
    _check_text(source)
    kind, _, argument = source.partition(":")
    if kind not in SEPARATE or name == "train":
        return None
    raw = _loader(kind, streaming)(argument, name)
    if getattr(raw, name) is None:
        return None
    return open_files(raw, files, streaming=streaming)


def own_path(source: str) -> str | None:
    """The import path in a source, which has no kind of that name; ``None`` if none."""
    kind, _, rest = source.partition(":")
    path = f"{kind}:{rest.partition(':')[0]}"
    return path if kind not in SOURCES and is_import_path(path) else None


def load_raw(
    source: str, *, streaming: bool = False, files: FileSettings = FROM_FILES
) -> RawDataset:
    """Reads a data set as its source gives it, without holding anything out.

    Args:
      source: see ``load_dataset``.
      streaming: whether images stay on disk.
      files: see ``load_dataset``.

    Raises:
      DataError: if the source does not exist, cannot be streamed, or is damaged.
    """
    _check_text(source)
    kind, _, argument = source.partition(":")
    path = own_path(source)
    if path and is_found(kind):
        raw = load_own(path, argument.partition(":")[2])
        if streaming and not isinstance(Split(*raw.train).images, EncodedImages):
            raise DataError(
                f"data.streaming is true, but {path} is a function of your own: set it"
                " to false, and return StreamedImages to leave images on disk, or"
                " EncodedImages for image files"
            )
    else:
        raw = _loader(kind, streaming)(argument)
    return open_files(raw, files, streaming=streaming)


def _check_text(source: str) -> None:
    """Rejects text that cannot be a file name; a path need not be UTF-8."""
    try:
        impossible = b"\0" in os.fsencode(source)
    except UnicodeEncodeError:
        impossible = True
    if impossible:
        raise DataError(
            f"data source {source!r} contains a character that no path can have:"
            " expected kind:path"
        )


def _loader(kind: str, streaming: bool) -> Callable[..., RawDataset]:
    if kind == FROM_PYTHON:
        raise DataError(
            "the run was trained on data that a Python program passed to cnnjax.train:"
            " pass the same data again as its argument data"
        )
    if kind not in SOURCES:
        near = difflib.get_close_matches(kind, SOURCES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DataError(
            f"there is no data source {kind!r}: {hint}expected one of"
            f" {', '.join(SOURCES)}, or 'module:function' for a function of your own,"
            f" but there is no module {kind!r} in {' or '.join(searched())} or among"
            " the installed packages"
        )
    if not streaming:
        return SOURCES[kind]
    if kind not in STREAMS:
        raise DataError(
            f"{kind!r} is always in memory and cannot be streamed: set data.streaming"
            f" to false, or use one of {', '.join(STREAMS)}"
        )
    return STREAMS[kind]
