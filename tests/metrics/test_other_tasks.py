"""Metrics of several classes per example and of numbers: those of scikit-learn."""

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from cnnjax.data.tasks import CLASSIFICATION, MULTILABEL, REGRESSION
from cnnjax.metrics import Outputs, find_metric, score_classes

RNG = np.random.default_rng(0)


def several(n=200, classes=5, rate=0.3):
    labels = (RNG.random((n, classes)) < rate).astype(np.int8)
    logits = (RNG.normal(size=(n, classes)) + labels).astype(np.float32)
    return Outputs(logits, labels, np.zeros(n, np.float32), True, MULTILABEL)


def numbers(n=100, outputs=3):
    labels = RNG.normal(size=(n, outputs)).astype(np.float32) * [1, 10, 0.1]
    logits = labels + 0.5 * RNG.normal(size=(n, outputs))
    return Outputs(
        logits.astype(np.float32),
        labels.astype(np.float32),
        np.zeros(n, np.float32),
        task=REGRESSION,
    )


def value(name, outputs):
    metric = find_metric(name)
    if metric.is_mean:
        return float(np.mean(metric.function(outputs.logits, outputs.labels)))
    return metric.function(outputs)


def test_several_classes_per_example():
    outputs = several()
    y, guess, p = outputs.labels, outputs.predictions, outputs.probabilities
    for name in ("precision", "recall", "f1"):
        wanted = getattr(sk, f"{name}_score")(y, guess, average="macro")
        assert value(f"macro_{name}", outputs) == pytest.approx(wanted, rel=1e-12)
    wanted = sk.roc_auc_score(y, p, average="macro")
    assert value("auc", outputs) == pytest.approx(wanted, rel=1e-12)
    wanted = sk.average_precision_score(y, p, average="macro")
    assert value("average_precision", outputs) == pytest.approx(wanted, rel=1e-12)
    assert value("hamming_loss", outputs) == pytest.approx(sk.hamming_loss(y, guess))
    rows = sk.precision_recall_fscore_support(y, guess, zero_division=0)
    np.testing.assert_allclose(np.transpose(score_classes(outputs)), rows)


def test_unknown_classes_of_an_example_count_nowhere():
    outputs = several()
    hidden = RNG.random(outputs.labels.shape) < 0.3
    labels = np.where(hidden, -1, outputs.labels).astype(np.int8)
    some = Outputs(outputs.logits, labels, outputs.losses, True, MULTILABEL)
    aucs, wrong = [], []
    for c in range(5):
        known = ~hidden[:, c]
        y, p = outputs.labels[known, c], outputs.probabilities[known, c]
        aucs.append(sk.roc_auc_score(y, p))
    for row, guess, known in zip(
        outputs.labels, outputs.predictions, ~hidden, strict=True
    ):
        wrong.append(np.mean(row[known] != guess[known]) if known.any() else 0)
    assert value("auc", some) == pytest.approx(np.mean(aucs), rel=1e-12)
    assert value("hamming_loss", some) == pytest.approx(np.mean(wrong), rel=1e-6)


def test_a_class_without_examples_is_left_out():
    outputs = several(rate=0.0)
    assert np.isnan([value(n, outputs) for n in ("auc", "macro_f1")]).all()


@pytest.mark.parametrize("outputs", [1, 3])
def test_numbers(outputs):
    found = numbers(outputs=3)
    logits, labels = found.logits[:, :outputs], found.labels[:, :outputs]
    found = Outputs(logits, labels, found.losses, task=REGRESSION)
    for name, score in (
        ("mae", sk.mean_absolute_error),
        ("mse", sk.mean_squared_error),
        ("rmse", sk.root_mean_squared_error),
        ("r2", sk.r2_score),
    ):
        wanted = score(labels.astype(float), logits.astype(float))
        assert value(name, found) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("right", [True, False])
def test_r2_of_labels_that_do_not_vary(right):
    labels = np.full((4, 1), 2, np.float32)
    logits = labels + (0 if right else np.float32([[0], [1], [0], [0]]))
    outputs = Outputs(logits, labels, np.zeros(4), task=REGRESSION)
    assert value("r2", outputs) == sk.r2_score(labels, logits)


def test_r2_of_one_example_is_undefined():
    outputs = Outputs(*np.ones((2, 1, 1)), np.zeros(1), task=REGRESSION)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(value("r2", outputs))


def test_soft_labels_count_as_their_largest_share():
    hard = RNG.integers(0, 4, 80)
    soft = (0.6 * np.eye(4)[hard] + 0.1).astype(np.float32)
    logits = RNG.normal(size=(80, 4)).astype(np.float32) + soft
    zeros = np.zeros(80, np.float32)
    one = Outputs(logits, hard.astype(np.int32), zeros, task=CLASSIFICATION)
    other = Outputs(logits, soft, zeros, task=CLASSIFICATION)
    for name in ("top2", "macro_f1", "auc", "average_precision", "calibration_error"):
        assert value(name, one) == value(name, other)
    p = one.probabilities
    wanted = -np.mean(np.sum(soft * np.log(p), axis=1))
    assert value("log_loss", other) == pytest.approx(wanted, rel=1e-5)


def test_unknown_examples_are_left_out():
    outputs = several()
    labels = outputs.labels.copy()
    labels[::3] = -1
    known = Outputs(outputs.logits, labels, outputs.losses, True, MULTILABEL).known()
    np.testing.assert_array_equal(known.labels, np.delete(labels, np.s_[::3], 0))
    assert len(known.logits) == len(known.losses) == len(known.labels)
