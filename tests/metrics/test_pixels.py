"""Scores of pixels: those of scikit-learn, and of loops in NumPy."""

import numpy as np
import pytest
from sklearn import metrics as sk

from cnnjax.metrics import METRICS, find_metric, score_pixels


def make(classes, present, seed=0):
    """Labels and predictions of pixels, and their confusion matrix."""
    draw = np.random.default_rng(seed)
    labels = draw.choice(present, 500)
    guesses = np.where(draw.random(500) < 0.6, labels, draw.choice(present, 500))
    confusion = np.zeros((classes, classes), np.int64)
    for label, guess in zip(labels, guesses, strict=True):
        confusion[label, guess] += 1
    return labels, guesses, confusion


def iou_by_loops(labels, guesses, classes):
    found = []
    for number in range(classes):
        either = ((labels == number) | (guesses == number)).sum()
        if either:
            both = ((labels == number) & (guesses == number)).sum()
            found.append(both / either)
    return np.mean(found)


@pytest.mark.parametrize("present", [[0, 1, 2, 3, 4], [0, 2, 4], [3, 4]])
def test_metrics_of_pixels_are_those_of_scikit_learn(present):
    labels, guesses, confusion = make(5, present)
    jaccard = sk.jaccard_score(labels, guesses, average="macro")
    assert METRICS["mean_iou"].pixels(confusion) == pytest.approx(jaccard, abs=1e-12)
    loops = iou_by_loops(labels, guesses, 5)
    assert METRICS["mean_iou"].pixels(confusion) == pytest.approx(loops, abs=1e-12)
    for name, score in (
        ("macro_precision", sk.precision_score),
        ("macro_recall", sk.recall_score),
        ("macro_f1", sk.f1_score),
    ):
        expected = score(labels, guesses, average="macro")
        assert METRICS[name].pixels(confusion) == pytest.approx(expected, abs=1e-12)
    recall = METRICS["balanced_accuracy"].pixels(confusion)
    assert recall == pytest.approx(sk.balanced_accuracy_score(labels, guesses))


def test_a_class_that_only_predictions_have_counts_as_zero():
    confusion = np.array([[4, 0, 1], [0, 0, 0], [0, 0, 0]])
    assert METRICS["mean_iou"].pixels(confusion) == pytest.approx((4 / 5 + 0) / 2)
    first, absent, guessed = score_pixels(confusion)
    assert (first.iou, first.support, guessed.iou) == (4 / 5, 5, 0)
    assert np.isnan([absent.iou, absent.recall, guessed.recall]).all()
    assert np.isnan(METRICS["mean_iou"].pixels(np.zeros((3, 3), int)))


def test_top_k_takes_label_maps():
    logits = np.array([[[3.0, 2, 1], [1, 2, 3]]])
    found = find_metric("top2").function(logits, np.array([[1, 0]]))
    assert found.tolist() == [[True, False]]
