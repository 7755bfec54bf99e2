"""Scores of each class, and which classes are taken for which."""

from typing import Any, NamedTuple

import numpy as np

from cnnjax.data.tasks import MULTILABEL
from cnnjax.metrics.outputs import Outputs
from cnnjax.metrics.pixels import score_pixels


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
    if outputs.task == MULTILABEL:
        return [
            _score_binary(*one_against_rest(outputs, number))
            for number in range(outputs.logits.shape[-1])
        ]
    scores = score_pixels(confusion_matrix(outputs))
    return [ClassScore(*score[1:]) for score in scores]


def one_against_rest(
    outputs: Outputs, number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which examples have a class, which are predicted to, and its probabilities.

    Examples for which that is unknown are left out.
    """
    if outputs.task == MULTILABEL:
        labels, guesses = outputs.labels[:, number], outputs.predictions[:, number]
        known = labels >= 0
        probabilities = outputs.probabilities[:, number]
        return labels[known] > 0.5, guesses[known], probabilities[known]
    guesses = outputs.predictions == number
    return outputs.classes == number, guesses, outputs.probabilities[:, number]


def _score_binary(truth: np.ndarray, guesses: np.ndarray, _: Any) -> ClassScore:
    right, support, guessed = (int(x.sum()) for x in (truth & guesses, truth, guesses))
    if not support:
        return ClassScore(np.nan, np.nan, np.nan, 0)
    precision = right / guessed if guessed else 0.0
    return ClassScore(
        precision, right / support, 2 * right / (support + guessed), support
    )


def confusion_matrix(outputs: Outputs) -> np.ndarray:
    """How many examples of each class (rows) are taken for each class (columns)."""
    count = outputs.logits.shape[-1]
    found = np.zeros((count, count), np.int64)
    np.add.at(found, (outputs.classes, outputs.predictions), 1)
    return found
