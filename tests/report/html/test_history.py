"""Curves and times from a metrics file that anybody may have written."""

import math
from dataclasses import replace

import pytest

from cnnjax.report.html.history import (
    MOST_POINTS,
    chart_layers,
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
        {"training steps": 8, "waiting for data": 2, "validation": 2, "checkpoints": 1}
    )
    assert rest == pytest.approx(3)
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


def test_layers_stand_in_the_order_in_which_they_run():
    records = [
        {"kind": "layers", "step": step, "weight_norm/a": 1.0}
        | {f"gradient_norm/Conv_{i}": 10.0**-i for i in range(12)}
        for step in (5, 10)
    ]
    chart = chart_layers(make_facts(layers=records, inside=None))
    assert [path.name for path in chart.paths] == [
        f"Conv_{i}" for i in (0, 2, 3, 5, 6, 8, 9, 11)
    ]
    assert chart.note.startswith("8 of 12 layers are drawn")
    assert "logarithmic" in chart.note
    inside = replace(make_facts().inside, kernels=["Conv_3", "Conv_1", "Dense_0"])
    chart = chart_layers(make_facts(layers=records, inside=inside))
    assert [path.name for path in chart.paths] == ["Conv_3", "Conv_1"]
    assert chart_layers(make_facts(layers=())) is None
