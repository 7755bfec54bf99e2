"""The meanings and forms of the labels of a data set.

==================  ==================================================  ==============
task                labels                                              stored as
==================  ==================================================  ==============
classification      class numbers ``(n,)``; -1 for an unknown class     int32
classification      soft labels: probabilities ``(n, classes)``, sum 1  float32
multilabel          0 or 1 per class ``(n, classes)``; -1 for unknown   int8
multilabel          a probability per class ``(n, classes)``            float32
regression          numbers ``(n,)`` or ``(n, outputs)``                float32, 2 axes
segmentation        label maps: a class number per pixel                int8 or int16
                    ``(n, *spatial)``; -1 for a pixel to ignore
==================  ==================================================  ==============
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnnjax.errors import DataError, show

CLASSIFICATION = "classification"
MULTILABEL = "multilabel"
REGRESSION = "regression"
SEGMENTATION = "segmentation"
TASKS = (CLASSIFICATION, MULTILABEL, REGRESSION, SEGMENTATION)

UNKNOWN = -1
"""The label of an example that is ignored, or of one of its classes or pixels."""

IGNORED_BYTE = 255
"""The same in label maps of uint8, such as masks in PNG files."""

_EXPECTED = {
    CLASSIFICATION: "class numbers (n,), or class probabilities (n, classes) that sum"
    " to 1",
    MULTILABEL: "0 or 1 for each class, (n, classes)",
    REGRESSION: "numbers (n,) or (n, outputs)",
    SEGMENTATION: "a class number for each pixel, (n, *spatial)",
}
_SUM_TOLERANCE = 1e-3  # of soft labels, which may be rounded


def find_task(
    labels: Mapping[str, np.ndarray], allowed: Sequence[str], stated: str | None = None
) -> str:
    """Finds the task that the labels of all splits are for.

    If they fit several tasks, such as whole numbers that could be classes or amounts,
    the first of classification, multilabel and regression that is allowed is taken. For
    columns of 0 and 1, multilabel comes before classification. Whole numbers with three
    axes or more are label maps; those of signals, with two, have to be stated.

    Args:
      labels: by split.
      allowed: the tasks that the loss is for.
      stated: the task that the source states, if it does.

    Raises:
      DataError: labels that fit none of the allowed tasks.
    """
    for task in [stated] if stated else _possible(labels):
        if task in allowed:
            return task
    name, values = next(iter(labels.items()))
    expected = ", or ".join(_EXPECTED[task] for task in TASKS if task in allowed)
    raise DataError(
        f"{name} labels have shape {values.shape} and dtype {values.dtype}, such as"
        f" {_example(values)}: for this loss, expected {expected}; change the labels"
        " (for example with astype(int) for class numbers), or loss.name: 'softmax' for"
        " one class per example or pixel, 'sigmoid' for several, 'mse' or 'huber' for"
        " numbers"
    )


def _possible(labels: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """The tasks that the labels could be for, the most likely first."""
    if all(values.ndim > 2 for values in labels.values()):
        are_whole = all(values.dtype.kind in "iu" for values in labels.values())
        return (SEGMENTATION,) if are_whole else ()
    splits = [_without_last_axis(values) for values in labels.values()]
    if len({values.ndim for values in splits}) > 1:
        return ()
    if splits[0].ndim == 1:
        are_whole = all(values.dtype.kind in "iu" for values in splits)
        return (CLASSIFICATION, REGRESSION) if are_whole else (REGRESSION,)
    are_shares = all(_are_shares(values).all() for values in splits)
    if all(_are_flags(values).all() for values in splits):
        soft = (CLASSIFICATION,) if are_shares else ()
        return (MULTILABEL, *soft, REGRESSION)
    if are_shares:
        return (CLASSIFICATION, MULTILABEL, REGRESSION)
    if not all(_are_probabilities(values).all() for values in splits):
        return (REGRESSION,)
    for name, values in labels.items():
        good = _are_shares(values)
        if good.mean() > 0.5 and not good.all():
            first = int(good.argmin())
            raise DataError(
                f"{name} label {first} is {show(values[first].tolist())}, which sums to"
                f" {values[first].sum():.4g}, but most labels sum to 1: expected all of"
                " them to do so"
            )
    return (MULTILABEL, REGRESSION)


def _are_flags(labels: np.ndarray) -> Any:
    """Whether each row holds nothing but 0, 1 and -1 ``(n,)``."""
    return np.isin(labels, (0, 1, UNKNOWN)).all(-1)


def _are_probabilities(labels: np.ndarray) -> Any:
    return ((labels >= 0) & (labels <= 1)).all(-1)


def _are_shares(labels: np.ndarray) -> Any:
    """Whether each row holds probabilities that sum to 1 ``(n,)``."""
    with np.errstate(invalid="ignore"):
        sums = labels.sum(-1, dtype=np.float64)
        return (labels >= 0).all(-1) & (abs(sums - 1) <= _SUM_TOLERANCE)


def _without_last_axis(labels: np.ndarray) -> np.ndarray:
    """Labels ``(n, 1)`` as ``(n,)``."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def _example(labels: np.ndarray) -> str:
    return show(labels[0].tolist()) if len(labels) else "nothing"


def check_labels(
    name: str, labels: np.ndarray, num_classes: int, task: str = CLASSIFICATION
) -> np.ndarray:
    """Checks labels, and converts them to the form in which they are stored.

    Args:
      name: the name of the split, for messages.
      labels: as the source returned them.
      num_classes: number of classes, or of outputs for regression.
      task: the task that they are for.

    Raises:
      DataError: labels that do not fit the task or the number of classes.
    """
    if not 1 <= num_classes < 2**31:
        raise DataError(
            f"the data set has {num_classes} classes: expected 1 or more, below 2^31"
        )
    if task == SEGMENTATION:
        return _check_maps(name, labels, num_classes)
    if task == CLASSIFICATION:
        labels = _without_last_axis(labels)
        if labels.ndim == 1 and labels.dtype.kind in "iu":
            return _check_numbers(name, labels, num_classes)
    columns = labels[:, None] if labels.ndim == 1 else labels
    if columns.shape[1] != num_classes or labels.dtype.kind not in "biuf":
        what = "outputs" if task == REGRESSION else "classes"
        raise DataError(
            f"{name} labels have shape {labels.shape} and dtype {labels.dtype}:"
            f" expected {_EXPECTED[task]}, here for {num_classes} {what}"
        )
    if task == CLASSIFICATION:
        good, form = _are_shares(columns), np.float32
    elif task == REGRESSION:
        with np.errstate(over="ignore"):  # it is reported below
            good, form = np.isfinite(columns.astype(np.float32)).all(-1), np.float32
    elif _are_flags(columns).all():
        good, form = np.ones(len(columns), bool), np.int8
    else:
        good, form = _are_probabilities(columns), np.float32
    if not good.all():
        first = int(good.argmin())
        expected = "finite numbers" if task == REGRESSION else _EXPECTED[task]
        raise DataError(
            f"{name} label {first} is {show(labels[first].tolist())}: expected"
            f" {expected}; leave out examples without a value"
        )
    columns = np.ascontiguousarray(columns, form)
    if not is_known(columns).any():
        raise nothing_known(name)
    return columns


def _check_numbers(name: str, labels: np.ndarray, num_classes: int) -> np.ndarray:
    wrong = (labels < UNKNOWN) | (labels >= num_classes)
    if wrong.any():
        first = int(wrong.argmax())
        raise DataError(
            f"{name} label {first} is {labels[first]}: expected a class number from 0"
            f" to {num_classes - 1}, or -1 for an example to ignore"
        )
    if (labels == UNKNOWN).all():
        raise nothing_known(name)
    return np.ascontiguousarray(labels, np.int32)


def as_label_maps(labels: np.ndarray) -> np.ndarray:
    """Label maps with -1 for a pixel to ignore, also where uint8 has 255 for it."""
    if labels.dtype != np.uint8:
        return labels
    maps = labels.astype(np.int16)
    maps[labels == IGNORED_BYTE] = UNKNOWN
    return maps


def _check_maps(name: str, labels: np.ndarray, num_classes: int) -> np.ndarray:
    if labels.ndim < 2 or labels.dtype.kind not in "iu" or num_classes > 2**15:
        raise DataError(
            f"{name} labels have shape {labels.shape} and dtype {labels.dtype}:"
            f" expected {_EXPECTED[SEGMENTATION]}, of at most {2**15:,} classes"
        )
    maps = as_label_maps(labels)
    if maps.min() < UNKNOWN or maps.max() >= num_classes:
        wrong = (maps < UNKNOWN) | (maps >= num_classes)
        first, *place = (int(number[0]) for number in np.nonzero(wrong))
        raise DataError(
            f"{name} label map {first} holds {maps[first, *place]} at {tuple(place)}:"
            f" expected a class number from 0 to {num_classes - 1}, or -1 for a pixel"
            " to ignore (255 in maps of uint8)"
        )
    if maps.max() == UNKNOWN:
        raise nothing_known(name)
    smallest = np.int8 if num_classes <= 2**7 else np.int16
    return np.ascontiguousarray(maps, smallest)


def nothing_known(name: str) -> DataError:
    """The error to raise for a split without any known label."""
    return DataError(
        f"all {name} labels are -1, which stands for an unknown class: expected some"
        " examples with a class"
    )


def is_known(labels: np.ndarray) -> np.ndarray:
    """Whether each example has a label that counts ``(n,)``.

    Args:
      labels: in the form in which they are stored.
    """
    if labels.dtype.kind == "f":
        return np.ones(len(labels), bool)
    return labels.max(axis=tuple(range(1, labels.ndim))) >= 0


def classes_of(labels: np.ndarray) -> np.ndarray:
    """Class numbers ``(n,)`` or ``(n, *spatial)``.

    For soft labels, those of the most probable classes.
    """
    return labels.argmax(axis=-1) if labels.dtype.kind == "f" else labels


def balanced_weights(labels: np.ndarray, task: str, num_classes: int) -> np.ndarray:
    """Balanced class weights ``(num_classes,)``: the rarer a class, the larger.

    For classification, the weight of a class is ``n / (classes * examples of the
    class)``, as for scikit-learn's ``"balanced"``: the mean over the examples is 1. For
    multi-label data, it is the number of examples without the class divided by the
    number with it. A class without examples gets 1.

    Args:
      labels: of the training split, as they are stored.
      task: ``"classification"``, ``"multilabel"`` or ``"segmentation"``, for which
        pixels are counted.
      num_classes: number of classes.
    """
    if task == MULTILABEL:
        known = labels >= 0
        with_it = np.where(known, labels, 0).sum(0, dtype=np.float64)
        others = known.sum(0) - with_it
    elif labels.dtype.kind != "f":
        labels = labels[labels >= 0]
        with_it = np.bincount(labels, minlength=num_classes).astype(np.float64)
        others = np.full(num_classes, len(labels) / num_classes)
    else:
        with_it = labels.sum(0, dtype=np.float64)
        others = np.full(num_classes, with_it.sum() / num_classes)
    weights = np.where(with_it > 0, others / np.where(with_it > 0, with_it, 1), 1)
    return weights.astype(np.float32)
