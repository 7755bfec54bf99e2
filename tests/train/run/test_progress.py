"""The best validation and the patience: which score counts as better."""

import math

import pytest

from cnnjax.train.run.evaluation import Score
from cnnjax.train.run.progress import Progress, judge


def judge_all(scores, monitor="loss", least=0.0):
    progress = Progress()
    for step, (loss, accuracy) in enumerate(scores, start=1):
        score = Score(loss, accuracy, 10)
        progress = judge(progress, step, score, monitor=monitor, least=least)
    return progress.best_step, progress.stale


SCORES = [(0.9, 0.5), (0.7, 0.6), (0.8, 0.7), (0.69, 0.7), (0.75, 0.6)]


@pytest.mark.parametrize(
    ("monitor", "least", "expected"),
    [
        ("loss", 0.0, (4, 1)),
        ("loss", 0.05, (2, 3)),
        ("accuracy", 0.0, (3, 2)),
        ("accuracy", 0.15, (3, 2)),
        ("accuracy", 0.25, (1, 4)),
    ],
)
def test_the_best_validation_and_those_since(monitor, least, expected):
    assert judge_all(SCORES, monitor, least) == expected


def test_what_is_not_a_number_is_never_the_best():
    assert judge_all([(math.nan, 0.1)]) == (None, 1)
    assert judge_all([(0.5, 0.1), (math.nan, 0.9), (-math.inf, 0.9)]) == (1, 2)


def test_nothing_better_than_infinity_is_asked_of_the_first():
    assert judge_all([(math.inf, 0.1), (3.0, 0.2)]) == (2, 0)
