"""Scores of each class, and which classes are taken for which."""

import warnings
from typing import NamedTuple

import numpy as np

from cnnjax.metrics.outputs import Outputs


class ClassScore(NamedTuple):
    """The scores of one class; NaN for a class without an example.

    Attributes:
        precision: the share of its predictions that are right; 0 if there is none.
        recall: the share of its examples that are recognized.
        f1: the harmonic mean of the two.
        support: how many examples it has.
    """

    precision: float
    recall: float
    f1: float
    support: int


def score_classes(outputs: Outputs) -> list[ClassScore]:
    """The scores of each class of the network."""
    from sklearn.metrics import precision_recall_fscore_support

    with warnings.catch_warnings():  # such as for more classes than examples
        warnings.simplefilter("ignore")
        *scores, support = precision_recall_fscore_support(
            outputs.labels,
            outputs.predictions,
            labels=np.arange(outputs.logits.shape[-1]),
            zero_division=0,  # pyright: ignore[reportArgumentType]
        )
    support = np.asarray(support)
    columns = [np.where(support > 0, values, np.nan).tolist() for values in scores]
    return [ClassScore(*row) for row in zip(*columns, support.tolist(), strict=True)]


def confusion_matrix(outputs: Outputs) -> np.ndarray:
    """How many examples of each class (rows) are taken for each class (columns)."""
    count = outputs.logits.shape[-1]
    found = np.zeros((count, count), np.int64)
    np.add.at(found, (outputs.labels, outputs.predictions), 1)
    return found
