"""Metrics that need all predictions of a split at once.

Means run over the classes that occur in the split; where there is nothing to take the
mean of, a metric is NaN.
"""

from collections.abc import Callable

import numpy as np

from cnnjax.data.tasks import CLASSIFICATION
from cnnjax.metrics import pixels
from cnnjax.metrics.outputs import Outputs
from cnnjax.metrics.per_class import (
    confusion_matrix,
    one_against_rest,
    score_classes,
)

BINS = 15
"""Bins of equal width of the calibration error."""


def macro_precision(outputs: Outputs) -> float:
    """The mean precision; that of a class that is never predicted is 0."""
    return _macro(outputs, 0)


def macro_recall(outputs: Outputs) -> float:
    """The mean recall, which is also called balanced accuracy."""
    return _macro(outputs, 1)


def macro_f1(outputs: Outputs) -> float:
    """The mean of the F1 scores of the classes."""
    return _macro(outputs, 2)


def mean_iou(outputs: Outputs) -> float:
    """The mean intersection over union of the classes, as of ``pixels.mean_iou``."""
    return pixels.mean_iou(confusion_matrix(outputs))


def auc(outputs: Outputs) -> float:
    """The mean area under the ROC curve of each class against the rest.

    With two classes, of which each example has one, that of class 1. A class that all
    examples belong to has none.
    """
    from sklearn.metrics import roc_auc_score

    return _mean_over_classes(outputs, roc_auc_score, needs_others=True)


def average_precision(outputs: Outputs) -> float:
    """The mean average precision of each class against the rest.

    With two classes, of which each example has one, that of class 1.
    """
    from sklearn.metrics import average_precision_score

    return _mean_over_classes(outputs, average_precision_score, needs_others=False)


def calibration_error(outputs: Outputs) -> float:
    r"""The expected calibration error (Guo et al. 2017, arXiv:1706.04599).

    Predictions are sorted by their probability into ``BINS`` bins
    :math:`(a, a + 1/15]`. The error is the mean over all examples of the distance
    between accuracy and mean probability of the bin that the example is in.
    """
    confidences = outputs.confidences
    if not np.isfinite(confidences).all():
        return np.nan
    edges = np.linspace(0, 1, BINS + 1)[1:-1]
    bins = np.searchsorted(edges, confidences)
    differences = (outputs.predictions == outputs.classes) - confidences
    return float(np.abs(np.bincount(bins, differences, BINS)).sum() / len(bins))


def _macro(outputs: Outputs, which: int) -> float:
    """The mean of precision (0), recall (1) or F1 (2)."""
    found = [score[which] for score in score_classes(outputs) if score.support]
    return float(np.mean(found)) if found else np.nan


def _mean_over_classes(
    outputs: Outputs, score: Callable[..., float], *, needs_others: bool
) -> float:
    """The mean score of the classes that have examples, and others if it needs them."""
    if not np.isfinite(outputs.probabilities).all():
        return np.nan
    count = outputs.logits.shape[-1]
    is_binary = count == 2 and outputs.task == CLASSIFICATION
    found = []
    for number in [1] if is_binary else range(count):
        is_positive, _, probabilities = one_against_rest(outputs, number)
        if is_positive.any() and not (needs_others and is_positive.all()):
            found.append(score(is_positive, probabilities))
    return float(np.mean(found)) if found else np.nan
