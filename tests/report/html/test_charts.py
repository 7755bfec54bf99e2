"""Charts: axes, gaps, and numbers of every size."""

import json
import math

import pytest

from cnnjax.report.html.charts import Series, make_chart, round_values


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 787, [0, 200, 400, 600]),
        (0.983, 0.998, [0.985, 0.99, 0.995]),
        (-3, 5, [-2, 0, 2, 4]),
    ],
)
def test_ticks_are_round(low, high, expected):
    assert round_values(low, high, 4) == expected


def test_places_are_fractions_of_the_plot():
    chart = make_chart(
        "a", [Series("s", [0, 5, 10], [0, 1, 2])], y_range=(0, 2), marks=[(0, 5)]
    )
    assert chart.paths[0].d == "M0 1000L500 500L1000 0"
    assert chart.marks[0][:2] == (0.5, 0.5)
    assert [tick.text for tick in chart.y_ticks] == ["0", "0.5", "1", "1.5", "2"]
    assert chart.hover["series"][0]["y"] == [0, 1, 2]


def test_values_that_are_not_finite_leave_a_gap():
    ys = [1, math.nan, 2, math.inf, 3, 4]
    chart = make_chart("a", [Series("s", range(6), ys)])
    assert chart.paths[0].d.count("M") == 3
    json.dumps(chart.hover, allow_nan=False)
    assert make_chart("a", [Series("s", [1], [math.nan])]) is None
    assert make_chart("a", []) is None


def test_a_single_value_is_drawn():
    chart = make_chart("a", [Series("s", [7], [0.5])])
    assert chart.marks[0] == pytest.approx((0.5, 0.5, 0))
    assert len(chart.y_ticks) > 1


def test_a_large_ratio_has_a_logarithmic_axis():
    series = [Series("s", [1, 2, 3], [1e-3, 1, 1e3])]
    chart = make_chart("a", series, can_be_log=True)
    assert "logarithmic" in chart.note
    ticks = [tick.text for tick in chart.y_ticks]
    assert ticks == ["0.001", "0.01", "0.1", "1", "10", "100", "1k"] or len(ticks) > 2
    middle = chart.paths[0].d.split("L")[1]
    assert middle == "500 500"
    assert "logarithmic" not in make_chart("a", series).note
