"""Curves and times from a metrics file that anybody may have written."""

import math

import pytest

from cnnjax.report.html.history import (
    MOST_POINTS,
    last_step,
    make_curves,
    make_series,
    time_shares,
    total_seconds,
)
from tests.support.report.html import make_facts, make_records


def test_the_time_adds_up():
    found = {share.name: share.seconds for share in time_shares(make_records())}
    *known, (_, rest) = found.items()
    assert dict(known) == pytest.approx(
        {"training steps": 8, "waiting for data": 2, "validation": 2}
    )
    assert rest == pytest.approx(4)
    assert time_shares([]) == []


def test_a_long_curve_keeps_its_best_and_its_last_step():
    records = [{"kind": "train", "step": n, "loss": 1.0} for n in range(5001)]
    series = make_series(records, "train", "loss", 0, keep=1234)
    assert len(series.xs) < MOST_POINTS + 3
    assert 1234 in series.xs and series.xs[-1] == 5000
    assert list(series.xs) == sorted(series.xs)


def test_each_metric_has_a_chart_with_the_best_validation():
    charts = {chart.title: chart for chart in make_curves(make_facts())}
    assert [*charts] == ["loss", "accuracy", "metric cat", "learning rate"]
    assert [path.name for path in charts["loss"].paths] == ["train", "validation"]
    assert charts["loss"].marks[0].color == 1
    assert charts["loss"].hover["perEpoch"] == 5


def test_damaged_records_are_left_out():
    bad = [
        {"kind": "train", "step": "x", "loss": 1},
        {"kind": "train", "step": math.nan, "loss": 1, "seconds": math.inf},
        {"kind": "train", "step": 10**40, "loss": 1, "epoch": 1e-300},
        {"kind": ["train"], "step": True, "loss": [1], "seconds": "<b>"},
        {"kind": "validation", "step": 3, "loss": -1e308, "epoch": 5e-324},
    ]
    records = [*make_records(), *bad]
    assert last_step(records) == 20 and total_seconds(records) == 16
    assert [chart.title for chart in make_curves(make_facts(records=records))]
    assert sum(share.seconds for share in time_shares(records)) == pytest.approx(16)
