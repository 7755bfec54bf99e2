"""Metrics by name: scikit-learn's values, on random and on degenerate data."""

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from cnnjax.data.tasks import CLASSIFICATION
from cnnjax.metrics import (
    METRICS,
    Outputs,
    confusion_matrix,
    find_metric,
    probabilities,
    score_classes,
)

TOLERANCE = 1e-12  # of sums in another order


def make(n=200, classes=5, seed=0, present=None, levels=None, is_sigmoid=False):
    """Random logits that know a little; rounded to few ``levels``, they have ties."""
    draw = np.random.default_rng(seed)
    labels = draw.choice(classes if present is None else present, n).astype(np.int32)
    logits = draw.normal(size=(n, classes)) + np.eye(classes)[labels]
    if levels:
        logits = np.round(logits * levels) / levels
    logits = logits.astype(np.float32)
    return Outputs(logits, labels, np.zeros(n, np.float32), is_sigmoid)


CASES = {
    "random": make(),
    "binary": make(classes=2),
    "ties": make(levels=1),
    "a class is absent": make(present=[0, 2, 3, 4]),
    "one class": make(present=[2]),
    "one example": make(n=1),
    "more classes than examples": make(n=7, classes=30),
    "a question per class": make(is_sigmoid=True),
}


def value(name, outputs):
    metric = find_metric(name)
    if metric.is_mean:
        return float(np.mean(metric.function(outputs.logits, outputs.labels)))
    return metric.function(outputs)


def expected(name, outputs):
    """The value with scikit-learn's functions, over the classes that occur."""
    y, guess, p = outputs.labels, outputs.predictions, outputs.probabilities
    present = np.unique(y)
    binary = p.shape[1] == 2
    if name == "balanced_accuracy":
        return sk.balanced_accuracy_score(y, guess)
    if name == "mean_iou":
        return sk.jaccard_score(y, guess, average="macro")
    if name.startswith("macro"):
        score = getattr(sk, f"{name.removeprefix('macro_')}_score")
        return score(y, guess, labels=present, average="macro", zero_division=0)
    if name in ("auc", "average_precision"):
        score = sk.roc_auc_score if name == "auc" else sk.average_precision_score
        if name == "auc" and len(present) == 1:
            return np.nan
        if binary:
            return score(y, p[:, 1])
        return np.mean([score(y == c, p[:, c]) for c in present])
    assert name == "log_loss"
    classes = np.arange(p.shape[1])
    return sk.log_loss(y, probabilities(outputs.logits), labels=classes)


NAMES = [
    name
    for name, metric in METRICS.items()
    if CLASSIFICATION in metric.tasks and name != "calibration_error"
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", NAMES)
def test_a_metric_is_that_of_scikit_learn(name, case):
    outputs = CASES[case]
    found = value(name, outputs)  # without a warning, which would be an error here
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = expected(name, outputs)
    # The cross-entropy is in float32.
    tolerance = 1e-5 if name == "log_loss" else TOLERANCE
    np.testing.assert_allclose(found, wanted, rtol=tolerance)


def test_with_all_classes_there_scikit_learn_needs_no_help():
    outputs = CASES["random"]
    y, guess, p = outputs.labels, outputs.predictions, outputs.probabilities
    auc = sk.roc_auc_score(y, p, multi_class="ovr", average="macro")
    assert value("auc", outputs) == pytest.approx(auc, rel=TOLERANCE)
    precision = sk.average_precision_score(y, p, average="macro")
    found = value("average_precision", outputs)
    assert found == pytest.approx(precision, rel=TOLERANCE)
    f1 = sk.f1_score(y, guess, average="macro")
    assert value("macro_f1", outputs) == pytest.approx(f1, rel=TOLERANCE)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_top_k_is_that_of_scikit_learn(case, k):
    """It prefers the last of equal scores, and accuracy the first: mirrored here."""
    outputs = CASES[case]
    classes = outputs.logits.shape[1]
    if k > classes:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = sk.top_k_accuracy_score(
            classes - 1 - outputs.labels,
            outputs.logits[:, ::-1] if classes > 2 else -outputs.logits[:, 0],
            k=k,
            labels=np.arange(classes),
        )
    if classes == 2 and k == 1:  # scikit-learn has a threshold at 0 there
        wanted = np.mean(outputs.predictions == outputs.labels)
    assert value(f"top{k}", outputs) == pytest.approx(wanted, rel=1e-6)


def test_top_1_is_the_accuracy():
    outputs = CASES["ties"]
    accuracy = np.mean(outputs.predictions == outputs.labels)
    assert value("top1", outputs) == pytest.approx(accuracy, rel=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_the_calibration_error_is_its_definition(case):
    outputs = CASES[case]
    right = outputs.predictions == outputs.labels
    confidence, total = outputs.probabilities.max(-1), 0.0
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        if inside.any():
            gap = abs(right[inside].mean() - confidence[inside].mean())
            total += inside.mean() * gap
    assert value("calibration_error", outputs) == pytest.approx(total, rel=1e-9)


def test_a_calibrated_network_has_no_error():
    logits = np.log(np.array([[0.75, 0.25]] * 4, np.float32))
    outputs = Outputs(logits, np.array([0, 0, 0, 1]), np.zeros(4, np.float32))
    assert value("calibration_error", outputs) == pytest.approx(0, abs=1e-7)
    sure = Outputs(100 * logits, np.array([1, 1, 1, 1]), np.zeros(4, np.float32))
    assert value("calibration_error", sure) == pytest.approx(1)


def test_logits_that_are_not_finite_are_undefined():
    logits = np.array([[np.nan, 1], [np.inf, 0]], np.float32)
    outputs = Outputs(logits, np.array([0, 1]), np.zeros(2, np.float32))
    for name in ("auc", "average_precision", "calibration_error"):
        assert np.isnan(value(name, outputs))
    assert value("macro_recall", outputs) == 0.5


@pytest.mark.parametrize("case", CASES)
def test_the_scores_of_classes_are_those_of_scikit_learn(case):
    outputs = CASES[case]
    classes = np.arange(outputs.logits.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = sk.precision_recall_fscore_support(
            outputs.labels, outputs.predictions, labels=classes, zero_division=0
        )
        matrix = sk.confusion_matrix(
            outputs.labels, outputs.predictions, labels=classes
        )
    np.testing.assert_array_equal(confusion_matrix(outputs), matrix)
    for number, score in enumerate(score_classes(outputs)):
        *values, support = (column[number] for column in wanted)
        assert score.support == support
        values = values if support else [np.nan] * 3
        np.testing.assert_array_equal(score[:3], values)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("acu", "did you mean 'auc'?"),
        ("top_5", "did you mean 'top5'?"),
        ("top0", "top takes any number"),
        ("top" + "9" * 5000, "top takes any number"),
        ("macro_f2", "did you mean 'macro_f1'?"),
        ("", "unknown metric ''"),
    ],
)
def test_an_unknown_name_is_refused(name, message):
    with pytest.raises(ValueError, match="unknown metric") as caught:
        find_metric(name)
    assert message in str(caught.value)


def test_each_metric_has_a_direction():
    lower = {name for name, metric in METRICS.items() if not metric.higher_is_better}
    errors = {"hamming_loss", "mae", "mse", "rmse"}
    assert lower == {"log_loss", "calibration_error", *errors}
    assert None not in [metric.higher_is_better for metric in METRICS.values()]
