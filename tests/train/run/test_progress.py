"""The best validation and the patience: which score counts as better."""

import math

import pytest

from cnnjax.train.run.evaluation import Score
from cnnjax.train.run.metrics import Monitor
from cnnjax.train.run.progress import Progress, judge, read_progress

LOSS, ACCURACY = Monitor("loss", False), Monitor("accuracy", True)


def judge_all(scores, monitor=LOSS, least=0.0):
    progress = Progress()
    for step, (loss, accuracy) in enumerate(scores, start=1):
        score = Score(loss, accuracy, 10)
        progress = judge(progress, step, score, monitor=monitor, least=least)
    return progress.best_step, progress.stale


SCORES = [(0.9, 0.5), (0.7, 0.6), (0.8, 0.7), (0.69, 0.7), (0.75, 0.6)]


@pytest.mark.parametrize(
    ("monitor", "least", "expected"),
    [
        (LOSS, 0.0, (4, 1)),
        (LOSS, 0.05, (2, 3)),
        (ACCURACY, 0.0, (3, 2)),
        (ACCURACY, 0.15, (3, 2)),
        (ACCURACY, 0.25, (1, 4)),
    ],
)
def test_the_best_validation_and_those_since(monitor, least, expected):
    assert judge_all(SCORES, monitor, least) == expected


def test_what_is_not_a_number_is_never_the_best():
    assert judge_all([(math.nan, 0.1)]) == (None, 1)
    assert judge_all([(0.5, 0.1), (math.nan, 0.9), (-math.inf, 0.9)]) == (1, 2)


def test_nothing_better_than_infinity_is_asked_of_the_first():
    assert judge_all([(math.inf, 0.1), (3.0, 0.2)]) == (2, 0)


def test_a_metric_decides_and_what_is_undefined_is_noted_as_null():
    values = [math.nan, 0.6, 0.9, 0.4]
    for monitor, best in ((Monitor("auc", True), 3), (Monitor("auc", False), 4)):
        progress = Progress()
        for step, value in enumerate(values, start=1):
            score = Score(1.0, 0.5, 10, {"auc": value, "other": math.nan})
            progress = judge(progress, step, score, monitor=monitor, least=0.0)
        assert progress.best_step == best
        assert progress.best["other"] is None
        assert read_progress({"progress": progress._asdict()}) == progress


def test_the_first_value_of_a_metric_that_was_added_is_the_best():
    progress = judge(Progress(), 1, Score(0.1, 0.5, 10), monitor=LOSS, least=0.0)
    score, monitor = Score(0.9, 0.5, 10, {"auc": 0.5}), Monitor("auc", True)
    assert judge(progress, 2, score, monitor=monitor, least=0.1).best_step == 2
