"""Images with labels, checked once and split into train, validation and test."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnjax.data.decoding import Decoding
from cnnjax.data.holdout import check_fraction, hold_out
from cnnjax.data.pixels import convert_pixels
from cnnjax.data.plausible import (
    channels_first_note,
    check_map_sizes,
    count_classes,
    looks_channels_first,
    note_labels,
)
from cnnjax.data.stream import StreamedImages
from cnnjax.data.tasks import (
    CLASSIFICATION,
    SEGMENTATION,
    TASKS,
    UNKNOWN,
    as_label_maps,
    check_labels,
    classes_of,
    find_task,
    is_known,
)
from cnnjax.errors import DataError, show

SPLITS = ("train", "validation", "test")


class Split(NamedTuple):
    """Images ``(n, *spatial, channels)`` with labels ``(n,)`` or ``(n, ...)``.

    In a ``Dataset``, images are uint8 or float32; for labels see ``data/tasks.py``.
    """

    images: np.ndarray | StreamedImages
    labels: np.ndarray


class RawDataset(NamedTuple):
    """What a source returns: unchecked, possibly without some splits.

    Attributes:
      train: what the network learns from; ``None`` only where one of the others was
        asked for.
      validation: what measures it during training.
      test: what measures it at the end.
      num_classes: labels are below this number; counted if not given. For regression,
        the number of outputs.
      class_names: one name per class, or per output.
      notes: sentences about possible mistakes, to be shown to the user.
      decoding: how image files became arrays, if the images come from files.
      files: the names of the image files of each split.
      task: what the labels mean, if the source knows.

    Instead of a ``Split`` of arrays, a source of image files gives ``EncodedImages``
    with labels.
    """

    train: Any
    validation: Any = None
    test: Any = None
    num_classes: int | None = None
    class_names: Sequence[str] | None = None
    notes: tuple[str, ...] = ()
    decoding: Decoding | None = None
    files: Mapping[str, np.ndarray] = {}
    task: str | None = None


def as_raw_dataset(data: Any) -> RawDataset | None:
    """A ``RawDataset``, or ``(images, labels)`` as one; ``None`` for anything else."""
    if isinstance(data, RawDataset):
        return data
    is_pair = isinstance(data, tuple) and len(data) == 2
    return RawDataset(Split(*data)) if is_pair else None


class Dataset(NamedTuple):
    """Three checked splits with images of one shape and dtype.

    Attributes:
      train: what the network learns from.
      validation: what measures it during training.
      test: what measures it at the end.
      num_classes: labels are below this number. For regression, the number of outputs.
      notes: sentences about possible mistakes, to be shown to the user.
      class_names: one name per class or output, if the source has names.
      decoding: how image files became arrays, if the images come from files.
      task: what the labels mean: ``"classification"``, ``"multilabel"``,
        ``"regression"`` or ``"segmentation"``.
      files: the names of the image files of each split, if the images come from files.
    """

    train: Split
    validation: Split
    test: Split
    num_classes: int
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] | None = None
    decoding: Decoding | None = None
    task: str = CLASSIFICATION
    files: Mapping[str, np.ndarray] = {}


def make_dataset(
    raw: RawDataset,
    *,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    tasks: Sequence[str] = TASKS,
) -> Dataset:
    """Checks a data set, and holds out missing splits from the training examples.

    Images may be uint8 or floats (converted to float32). Booleans and other integers
    are converted to uint8 if all values lie within 0..255, and rejected otherwise.
    Labels are class numbers ``(n,)``, where -1 stands for an example to ignore, or have
    one of the other forms in ``data/tasks.py``. If the number of classes is not given,
    it is the largest label of all splits plus one. ``StreamedImages`` stay on disk;
    their values are checked when they are read.

    Args:
      raw: the splits as the source returned them.
      validation_fraction: share of each class of train that becomes the validation
        split; unused if the source has one.
      test_fraction: the same for the test split.
      seed: determines which examples are held out. The test split does not depend on
        ``validation_fraction``.
      tasks: that the labels may be for; where they fit several, see ``find_task``.

    Raises:
      DataError: if the splits are empty, damaged, or do not fit each other, if labels
        must be a mistake, or if a fraction is outside (0, 1) or leaves a class without
        examples.
    """
    given = {
        name: check_split(name, Split(*split))
        for name in SPLITS
        if (split := getattr(raw, name)) is not None
    }
    _check_alike(given)
    found = {name: split.labels for name, split in given.items()}
    task = find_task(found, tasks, raw.task)
    if task == SEGMENTATION:
        given = {name: _as_maps(name, split) for name, split in given.items()}
    num_classes = raw.num_classes
    if num_classes is None and raw.class_names is not None:
        num_classes = len(raw.class_names)
    if num_classes is None:
        found = {name: split.labels for name, split in given.items()}
        num_classes = count_classes(found, task)
    names = raw.class_names
    if names is not None:
        names = check_class_names(names, num_classes)
    labels = {
        name: check_labels(name, split.labels, num_classes, task)
        for name, split in given.items()
    }
    given = {name: Split(given[name].images, labels[name]) for name in given}
    stated = raw.num_classes is not None or names is not None
    notes = [*raw.notes, *note_labels(labels, task, num_classes, stated=stated)]
    shape = given["train"].images.shape
    if looks_channels_first(shape):
        notes.append(channels_first_note(shape))
    fractions = {"test": test_fraction, "validation": validation_fraction}
    for name, fraction in fractions.items():
        check_fraction(name, fraction, needed=name not in given)
    splits, files = _complete(given, raw.files, fractions, seed, task)
    return Dataset(
        **splits,
        num_classes=num_classes,
        notes=tuple(notes),
        class_names=names,
        decoding=raw.decoding,
        task=task,
        files=files,
    )


def check_class_names(names: Iterable[Any], num_classes: int) -> tuple[str, ...]:
    """The names of the classes, checked.

    Raises:
      DataError: if there are more or fewer than classes, or they are not different
        strings.
    """
    names = tuple(names)
    if len(names) != num_classes:
        raise DataError(
            f"class_names has {len(names)} names, expected {num_classes}, one for each"
            " class"
        )
    for number, name in enumerate(names):
        if not isinstance(name, str) or not name.strip() or name in names[:number]:
            raise DataError(
                f"class_names[{number}] is {show(name)}, expected a string that no"
                " other class has"
            )
    return tuple(map(str, names))


def _complete(
    given: dict[str, Split],
    files: Mapping[str, np.ndarray],
    fractions: dict[str, float],
    seed: int,
    task: str,
) -> tuple[dict[str, Split], Mapping[str, np.ndarray]]:
    """Holds out the missing splits: stratified where an example has one class."""
    missing = {name: f for name, f in fractions.items() if name not in given}
    if not missing:
        return given, files
    images, labels = given["train"]
    take = images.take if isinstance(images, StreamedImages) else images.__getitem__
    strata = np.where(is_known(labels), 0, UNKNOWN)
    if task == CLASSIFICATION:
        strata = classes_of(labels)
    parts = hold_out(strata, missing, seed)
    if "train" in files:
        files = {**files, **{name: files["train"][i] for name, i in parts.items()}}
    return given | {name: Split(take(i), labels[i]) for name, i in parts.items()}, files


def check_split(name: str, split: Split) -> Split:
    """Checks images, and that each has a label; labels stay as they are.

    Raises:
      DataError: see ``make_dataset``.
    """
    images, labels = split.images, _as_array(name, split.labels)
    if not isinstance(images, StreamedImages):
        images = np.asarray(images)
    if not 3 <= len(images.shape) <= 5:
        raise DataError(
            f"{name} images have shape {images.shape}: expected"
            " (n, *spatial, channels) with 1 to 3 spatial axes"
        )
    if labels.ndim not in range(1, 5) or labels.dtype.kind not in "biuf":
        raise DataError(
            f"{name} labels have shape {labels.shape} and dtype {labels.dtype}:"
            " expected numbers; class names go into class_names"
        )
    if len(images) != len(labels):
        raise DataError(
            f"{name} has {len(images)} images but {len(labels)} labels: each image"
            " needs one label"
        )
    if labels.ndim > 2:
        check_map_sizes(name, images, labels)
    if 0 in images.shape:
        raise DataError(f"{name} images have shape {images.shape}: the split is empty")
    if not isinstance(images, StreamedImages):
        images = convert_pixels(name, images)
    return Split(images, labels)


def _as_maps(name: str, split: Split) -> Split:
    check_map_sizes(name, split.images, split.labels)
    return Split(split.images, as_label_maps(split.labels))


def _as_array(name: str, labels: Any) -> np.ndarray:
    """Labels as an array, with booleans as 0 and 1."""
    try:
        array = np.asarray(labels)
    except ValueError as error:
        raise DataError(
            f"{name} labels are lists of different lengths: expected 0 or 1 per class"
        ) from error
    return array.astype(np.int8) if array.dtype == bool else array


def _check_alike(splits: Mapping[str, Split]) -> None:
    """Rejects splits whose images differ in shape or dtype."""
    train = splits["train"].images
    for name, split in splits.items():
        if (split.images.shape[1:], split.images.dtype) != (
            train.shape[1:],
            train.dtype,
        ):
            raise DataError(
                f"{name} images are {split.images.shape[1:]} of {split.images.dtype},"
                f" but train images are {train.shape[1:]} of {train.dtype}: all splits"
                " need the same shape and dtype"
            )
