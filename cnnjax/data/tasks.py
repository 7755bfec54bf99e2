"""What the labels of a data set mean, and in which form they must be.

==================  ==================================================  ==============
task                labels                                              stored as
==================  ==================================================  ==============
classification      class numbers ``(n,)``; -1 for an unknown class     int32
classification      soft labels: a share per class ``(n, classes)``     float32
multilabel          0 or 1 per class ``(n, classes)``; -1 for unknown   int8
multilabel          a probability per class ``(n, classes)``            float32
regression          numbers ``(n,)`` or ``(n, outputs)``                float32, 2 axes
==================  ==================================================  ==============
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnnjax.errors import DataError, show

CLASSIFICATION = "classification"
MULTILABEL = "multilabel"
REGRESSION = "regression"
TASKS = (CLASSIFICATION, MULTILABEL, REGRESSION)

UNKNOWN = -1
"""The label of an example, or of one class of it, that counts nowhere."""

_EXPECTED = {
    CLASSIFICATION: "class numbers (n,), or shares of classes (n, classes) that add up"
    " to 1",
    MULTILABEL: "0 or 1 for each class, (n, classes)",
    REGRESSION: "numbers (n,) or (n, outputs)",
}
_SUM_TOLERANCE = 1e-3  # of soft labels, which may be rounded


def find_task(
    labels: Mapping[str, np.ndarray], allowed: Sequence[str], stated: str | None = None
) -> str:
    """The task that the labels of all splits are for.

    Where they fit several, such as whole numbers that could be classes or amounts, the
    first of classification, multilabel and regression that is allowed is meant. Columns
    of 0 and 1 are rather multilabel than classification.

    Args:
      labels: by split.
      allowed: the tasks that the loss is for.
      stated: what the source says that they are for, if it does.

    Raises:
      DataError: labels that fit none of them.
    """
    for task in [stated] if stated else _possible(labels):
        if task in allowed:
            return task
    name, values = next(iter(labels.items()))
    expected = ", or ".join(_EXPECTED[task] for task in TASKS if task in allowed)
    raise DataError(
        f"{name} labels have shape {values.shape} and dtype {values.dtype}, such as"
        f" {_example(values)}: for this loss, expected {expected}; change the labels"
        " (such as with astype(int) for class numbers), or loss.name: 'softmax' for"
        " one class per example, 'sigmoid' for several, 'mse' or 'huber' for numbers"
    )


def _possible(labels: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """The tasks that the labels could be for, the most likely first."""
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
                f"{name} label {first} is {show(values[first].tolist())}, which adds up"
                f" to {values[first].sum():.4g}, but most labels add up to 1: expected"
                " that of all of them"
            )
    return (MULTILABEL, REGRESSION)


def _are_flags(labels: np.ndarray) -> Any:
    """Whether each row holds nothing but 0, 1 and -1 ``(n,)``."""
    return np.isin(labels, (0, 1, UNKNOWN)).all(-1)


def _are_probabilities(labels: np.ndarray) -> Any:
    return ((labels >= 0) & (labels <= 1)).all(-1)


def _are_shares(labels: np.ndarray) -> Any:
    """Whether each row holds shares of a whole ``(n,)``."""
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
    """Labels in the form in which they are stored; see the module.

    Args:
      name: of the split, for messages.
      labels: as a source gave them.
      num_classes: classes, or outputs of a regression.
      task: what they are for.

    Raises:
      DataError: labels that do not fit the task or the number of classes.
    """
    if not 1 <= num_classes < 2**31:
        raise DataError(
            f"the data set has {num_classes} classes: expected 1 or more, below 2^31"
        )
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


def nothing_known(name: str) -> DataError:
    """The error for a split without any known label, to be raised."""
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
    known = labels if labels.ndim == 1 else labels.max(axis=-1)
    return known >= 0


def classes_of(labels: np.ndarray) -> np.ndarray:
    """Class numbers ``(n,)``, also of soft labels: the class with the largest share."""
    return labels if labels.ndim == 1 else labels.argmax(axis=-1)


def balanced_weights(labels: np.ndarray, task: str, num_classes: int) -> np.ndarray:
    """A weight per class ``(num_classes,)``, the larger the rarer a class is.

    Classes of one example each get ``n / (classes * examples of the class)``, as
    scikit-learn's ``"balanced"`` does: their mean over the examples is 1. With several
    classes per example, a class gets the number of examples without it per example
    with it. A class without examples gets 1.

    Args:
      labels: of the training split, as they are stored.
      task: ``"classification"`` or ``"multilabel"``.
      num_classes: how many there are.
    """
    if task == MULTILABEL:
        known = labels >= 0
        with_it = np.where(known, labels, 0).sum(0, dtype=np.float64)
        others = known.sum(0) - with_it
    elif labels.ndim == 1:
        labels = labels[labels >= 0]
        with_it = np.bincount(labels, minlength=num_classes).astype(np.float64)
        others = np.full(num_classes, len(labels) / num_classes)
    else:
        with_it = labels.sum(0, dtype=np.float64)
        others = np.full(num_classes, with_it.sum() / num_classes)
    weights = np.where(with_it > 0, others / np.where(with_it > 0, with_it, 1), 1)
    return weights.astype(np.float32)
