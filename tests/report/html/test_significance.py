"""Whether a difference is more than chance, against statsmodels and by coverage."""

import numpy as np
import pytest

from cnnjax.data.tasks import REGRESSION
from cnnjax.metrics import Outputs
from cnnjax.report.html.significance import (
    bootstrap_interval,
    find_difference,
    mcnemar_p,
    why_not_comparable,
)
from tests.support.report.html import make_facts, make_outputs


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [  # statsmodels 0.15: mcnemar([[50, first], [second, 40]], exact=True).pvalue
        (2, 10, 0.03857421875),
        (0, 5, 0.0625),
        (30, 31, 1.0),
        (120, 90, 0.045114087864840696),
        (7, 7, 1.0),
        (1, 0, 1.0),
    ],
)
def test_mcnemar_is_that_of_statsmodels(first, second, p):
    assert mcnemar_p(first, second) == pytest.approx(p, rel=1e-12)
    assert mcnemar_p(second, first) == pytest.approx(p, rel=1e-12)


def test_equal_models_differ_by_nothing():
    assert mcnemar_p(0, 0) == 1
    found = find_difference(make_outputs(), make_outputs())
    assert (found.low, found.high, found.p, found.is_clear) == (0, 0, 1, False)


@pytest.mark.parametrize("kind", ["right or wrong", "numbers"])
def test_the_interval_is_that_of_the_normal_distribution(kind):
    draw = np.random.default_rng(3)
    values = draw.normal(0.1, 1, 800)
    if kind == "right or wrong":
        values = np.sign(values) * (abs(values) > 1)
    low, high = bootstrap_interval(values)
    margin = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - margin, abs=margin / 10)
    assert high == pytest.approx(values.mean() + margin, abs=margin / 10)


def test_examples_without_a_label_do_not_count():
    labels = np.array([0, 1, -1, 0], np.int32)
    logits = np.eye(2, dtype=np.float32)
    first = Outputs(logits[[0, 1, 0, 1]], labels, np.zeros(4, np.float32))
    second = Outputs(logits[[1, 1, 1, 0]], labels, np.zeros(4, np.float32))
    found = find_difference(first, second)
    assert (found.first, found.second, found.examples) == (2 / 3, 2 / 3, 3)
    assert (found.only_first, found.only_second) == (1, 1)


def test_of_numbers_the_squared_errors_are_compared():
    labels = np.zeros((200, 1), np.float32)
    losses = np.zeros(200, np.float32)
    small = np.random.default_rng(0).normal(0, 0.1, (200, 1)).astype(np.float32)
    good, bad = (
        Outputs(x, labels, losses, task=REGRESSION) for x in (small, 3 * small)
    )
    found = find_difference(bad, good)
    assert found.p is None and found.is_clear and found.high < 0
    assert found.first == pytest.approx(9 * found.second, rel=1e-5)


def test_only_runs_on_the_same_examples_are_compared():
    one = make_facts()
    assert why_not_comparable(one, make_facts(seed=1)) == ""
    other = make_facts(identity={"labels": "other"})
    assert "not tested on the same examples" in why_not_comparable(one, other)
    assert "not tested on the same" in why_not_comparable(
        make_facts(identity={}), make_facts(identity={})
    )
    assert "no predictions" in why_not_comparable(one, make_facts(predicted=None))
    numbers = make_facts(REGRESSION)
    numbers.predicted.outputs.logits[3] = np.nan
    assert "not finite" in why_not_comparable(numbers, make_facts(REGRESSION))
    assert "different tasks" in why_not_comparable(one, make_facts(REGRESSION))
