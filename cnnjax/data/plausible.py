"""Readable data that may be a mistake: a note says so, or an error stops the run."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnnjax.data.tasks import (
    CLASSIFICATION,
    REGRESSION,
    SEGMENTATION,
    UNKNOWN,
    is_known,
    nothing_known,
)
from cnnjax.errors import DataError

PLAUSIBLE_CLASSES = 1000  # accepted however few examples there are
_MOST_CHANNELS = 4  # of ordinary images: gray, RGB, RGBA
_SMALLEST_SIDE = 16  # from which non-square arrays are recognized as images
_MOST_RANGES = 8  # that a message lists


def count_classes(splits: Mapping[str, np.ndarray], task: str) -> int:
    """The largest label plus one; rejects far more classes than examples or pixels.

    Args:
      splits: labels by split, ``"train"`` among them, as the source returned them.
      task: what they are for.

    Raises:
      DataError: a split without any known label, or a label that is too large.
    """
    first = splits["train"]
    soft = task == CLASSIFICATION and first.ndim == 2 and first.shape[1] > 1
    if soft or task not in (CLASSIFICATION, SEGMENTATION):
        return first.shape[-1] if first.ndim == 2 else 1
    for name, labels in splits.items():
        if (labels == UNKNOWN).all():
            raise nothing_known(name)
    name, labels = max(splits.items(), key=lambda item: int(item[1].max()))
    num_classes = int(labels.max()) + 1
    examples = sum(labels.size for labels in splits.values())
    if num_classes > max(examples, PLAUSIBLE_CLASSES):
        raise DataError(
            f"{name} label {int(labels.argmax())} is {num_classes - 1}, which"
            f" means {num_classes} classes for {examples} examples: expected"
            " consecutive class numbers that start at 0; if there really are more"
            " classes than examples, state their number, as in npz:FILE?classes=N"
        )
    return num_classes


def check_map_sizes(name: str, images: Any, labels: np.ndarray) -> None:
    """Refuses label maps of another size than the images.

    Raises:
      DataError: names both shapes.
    """
    sizes = tuple(images.shape[1:-1])
    if labels.shape[1:] != sizes:
        raise DataError(
            f"{name} label maps have shape {labels.shape}: expected"
            f" {(len(images), *sizes)}, one class number for each pixel of the images"
            f" {images.shape}"
        )


def note_labels(
    labels: Mapping[str, np.ndarray], task: str, num_classes: int, *, stated: bool
) -> list[str]:
    """Sentences about examples that are ignored, and classes without examples.

    Args:
      labels: by split, ``"train"`` among them, as they are stored.
      task: what they are for.
      num_classes: number of classes.
      stated: see ``check_classes``.

    Raises:
      DataError: see ``check_classes``.
    """
    if task == SEGMENTATION:
        return _note_maps(labels, num_classes)
    notes = []
    for name, values in labels.items():
        if ignored := int((~is_known(values)).sum()):
            notes.append(
                f"{ignored:,} of {len(values):,} {name} examples have the label -1 and"
                " are ignored"
            )
    if task == REGRESSION:
        return notes
    if task == CLASSIFICATION and labels["train"].ndim == 1:
        known = {name: values[values >= 0] for name, values in labels.items()}
        return notes + check_classes(known, num_classes, stated=stated)
    occur = np.flatnonzero((labels["train"] > 0).any(axis=0))
    if len(occur) < num_classes:
        empty = _missing_ranges(occur, num_classes)
        absent = num_classes - len(occur)
        notes.append(
            f"{_list(empty)} of {num_classes} {_have(absent)} no training examples"
        )
    return notes


def _note_maps(maps: Mapping[str, np.ndarray], num_classes: int) -> list[str]:
    """Sentences about pixels that are ignored, and classes without pixels.

    Raises:
      DataError: all training pixels belong to one class.
    """
    notes = []
    for name, values in maps.items():
        if ignored := int((values < 0).sum()):
            notes.append(
                f"{ignored / values.size:.1%} of the pixels of the {name} split have"
                " the label -1 and are ignored"
            )
    found = [number for number in range(num_classes) if (maps["train"] == number).any()]
    if len(found) < 2:
        raise DataError(
            f"all training pixels are of class {found[0]}: expected two classes or"
            " more; with one class there is nothing to learn"
        )
    if len(found) < num_classes:
        empty = _missing_ranges(np.array(found), num_classes)
        have = _have(num_classes - len(found))
        notes.append(f"{_list(empty)} of {num_classes} {have} no training pixels")
    return notes


def check_classes(
    labels: Mapping[str, np.ndarray], num_classes: int, *, stated: bool
) -> list[str]:
    """Sentences about classes without training examples.

    Args:
      labels: class numbers ``(n,)`` by split, ``"train"`` among them.
      num_classes: number of classes.
      stated: whether the source states it; otherwise it follows from the largest label.

    Raises:
      DataError: if all training examples belong to one class, or if most classes have
        none and the source does not state the number of classes.
    """
    found = {name: np.unique(values) for name, values in labels.items()}
    train = found["train"]
    if len(train) < 2:
        raise DataError(
            f"all {len(labels['train']):,} training examples are of class {train[0]}:"
            " expected two classes or more; with one class there is nothing to learn"
        )
    empty = _missing_ranges(train, num_classes)
    count = num_classes - len(train)
    if not stated and count > len(train):
        name = max(found, key=lambda name: found[name][-1])
        label = int(found[name][-1])
        example = int((labels[name] == label).argmax())
        raise DataError(
            f"{name} label {example} is {label}, which means {num_classes} classes, but"
            f" {count} of them have no training examples ({_list(empty)}): expected"
            " consecutive class numbers that start at 0; remove labels that do not"
            " stand for a class, or state the number of classes, as in"
            f" npz:FILE?classes={num_classes}"
        )
    notes = []
    if count and empty[0] == (0, train[0] - 1):
        notes.append(
            f"{_list(empty)} of {num_classes} {_have(count)} no training examples;"
            f" labels run from {train[0]} to {train[-1]}: if they are meant to start"
            f" at {train[0]}, subtract {train[0]} from all of them"
        )
    elif count:
        notes.append(
            f"{_list(empty)} of {num_classes} {_have(count)} no training examples"
        )
    for name, values in found.items():
        unknown = np.setdiff1d(values, train)
        if len(unknown):
            ranges = _ranges(unknown)
            notes.append(
                f"{_list(ranges)} {'occurs' if len(unknown) == 1 else 'occur'} in the"
                f" {name} split, but not in training: none of these examples can be"
                " classified correctly"
            )
    return notes


def looks_channels_first(shape: Sequence[int]) -> bool:
    """Whether the channels of images ``(n, ...)`` seem to precede height and width.

    That is the case if the first axis after n could be channels, the last axis is
    unlikely to be, and the last two could be height and width.
    """
    if len(shape) < 4:
        return False
    _, first, *sizes = shape
    if first > _MOST_CHANNELS or min(sizes) <= _MOST_CHANNELS:
        return False
    return sizes[-1] == sizes[-2] or min(sizes) >= _SMALLEST_SIDE


def channels_first_note(shape: Sequence[int]) -> str:
    """The note about images for which ``looks_channels_first`` is true."""
    return (
        f"images of shape {tuple(shape)} look as if channels came first, but the last"
        f" axis is read as {shape[-1]} channels: move the channels there, as with"
        " numpy.moveaxis(images, 1, -1)"
    )


def _missing_ranges(values: np.ndarray, stop: int) -> list[tuple[int, int]]:
    """First and last of each range of numbers below ``stop`` that values lack."""
    edges = [-1, *values.tolist(), stop]
    pairs = itertools.pairwise(edges)
    return [(a + 1, b - 1) for a, b in pairs if b - a > 1]


def _ranges(values: np.ndarray) -> list[tuple[int, int]]:
    """First and last of each range of consecutive numbers in sorted values."""
    parts = np.split(values, np.flatnonzero(np.diff(values) > 1) + 1)
    return [(int(part[0]), int(part[-1])) for part in parts]


def _list(ranges: list[tuple[int, int]]) -> str:
    """As in ``"class 3"`` and ``"classes 0, 4 to 6 and 9"``."""
    texts = [str(a) if a == b else f"{a} to {b}" for a, b in ranges[:_MOST_RANGES]]
    if len(ranges) > _MOST_RANGES:
        texts.append("others")
    *most, last = texts
    one = len(ranges) == 1 and ranges[0][0] == ranges[0][1]
    return ("class " if one else "classes ") + (
        f"{', '.join(most)} and {last}" if most else last
    )


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
