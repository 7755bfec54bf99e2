"""Scores of segmentation, from one confusion matrix of all labeled pixels of a split.

Row r, column c of the matrix is the number of pixels of class r that are predicted as
class c.
"""

from typing import NamedTuple

import numpy as np


class PixelScore(NamedTuple):
    """The scores of the pixels of one class; NaN for a class without pixels.

    Attributes:
        iou: intersection over union: the pixels that are right, of those that have the
            class or are predicted to. NaN only where there are neither.
        precision: the share of the pixels predicted as this class that are right; 0 if
            there is none.
        recall: the share of the pixels of this class that are found.
        f1: the harmonic mean of the two, which is also called Dice.
        support: how many pixels it has.
    """

    iou: float
    precision: float
    recall: float
    f1: float
    support: int


def score_pixels(confusion: np.ndarray) -> list[PixelScore]:
    """The scores of each class.

    Args:
        confusion: whole numbers ``(classes, classes)``.
    """
    found = []
    for number in range(len(confusion)):
        right = int(confusion[number, number])
        support = int(confusion[number].sum())
        guessed = int(confusion[:, number].sum())
        union = support + guessed - right
        iou = right / union if union else np.nan
        if not support:
            found.append(PixelScore(iou, np.nan, np.nan, np.nan, 0))
            continue
        precision, recall = right / max(guessed, 1), right / support
        f1 = 2 * right / (support + guessed)
        found.append(PixelScore(iou, precision, recall, f1, support))
    return found


def mean_iou(confusion: np.ndarray) -> float:
    """The mean intersection over union of the classes.

    A class that neither a label nor a prediction has is left out. A class that only
    predictions have counts as 0.
    """
    return _mean(confusion, "iou")


def macro_precision(confusion: np.ndarray) -> float:
    """The mean precision of the classes that have pixels."""
    return _mean(confusion, "precision")


def macro_recall(confusion: np.ndarray) -> float:
    """The mean recall of the classes that have pixels."""
    return _mean(confusion, "recall")


def macro_f1(confusion: np.ndarray) -> float:
    """The mean F1, or Dice score, of the classes that have pixels."""
    return _mean(confusion, "f1")


def _mean(confusion: np.ndarray, name: str) -> float:
    values = [getattr(score, name) for score in score_pixels(confusion)]
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else np.nan
