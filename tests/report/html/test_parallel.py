"""Parallel coordinates: where values are on their axes, and how good the lines are."""

import itertools
import math

import pytest

from cnnjax.report.html.parallel import make_parallel

RATES = [0.1 / 2**n for n in range(10)]  # more values than have places of their own


def plot(settings, scores, higher_is_better=False, finished=None):
    names = [f"run{n}" for n in range(len(scores))]
    finished = finished or [True] * len(scores)
    found = make_parallel(names, settings, "loss", scores, finished, higher_is_better)
    assert found is not None
    return found


def points(line):
    return [tuple(map(float, p.split())) for p in line.d.removeprefix("M").split("L")]


def test_few_values_are_evenly_spaced_in_order():
    settings = {"rate": [10, 9, 100], "name": ["b", "a", "a"], "same": 3 * [True]}
    found = plot(settings, [1.0, 2.0, 3.0])
    rate, name, same, loss = found.columns
    assert [tick.text for tick in rate.ticks] == ["9", "10", "100"]
    assert [tick.place for tick in rate.ticks] == [1.0, 0.5, 0.0]
    assert [(t.text, t.place) for t in name.ticks] == [("a", 1.0), ("b", 0.0)]
    assert [(t.text, t.place) for t in same.ticks] == [("True", 0.5)]
    assert [column.place for column in found.columns] == [0, 1 / 3, 2 / 3, 1]
    assert [tick.text for tick in loss.ticks] == ["1", "1.5", "2", "2.5", "3"]
    best = found.lines[-1]  # drawn last
    assert best.title == "run0: loss 1"
    assert points(best) == [(0, 500), (333, 0), (667, 500), (1000, 1000)]


def test_many_numbers_have_a_scale():
    found = plot({"rate": RATES}, [*map(float, range(10))])
    heights = sorted(points(line)[0][1] for line in found.lines)
    gaps = [b - a for a, b in itertools.pairwise(heights)]
    assert gaps == pytest.approx(9 * [1000 / 9], abs=0.11)  # 512 times: logarithmic
    found = plot({"rate": [*range(10)]}, [*map(float, range(10))])
    heights = sorted(points(line)[0][1] for line in found.lines)
    assert heights == pytest.approx([1000 * n / 9 for n in range(10)], abs=0.06)


@pytest.mark.parametrize(
    ("higher_is_better", "percents"), [(False, [100, 50, 0]), (True, [0, 50, 100])]
)
def test_the_color_is_the_rank(higher_is_better, percents):
    found = plot({"x": [1, 2, 3]}, [0.1, 0.2, 9.0], higher_is_better)
    assert {line.title[:4]: line.percent for line in found.lines} == dict(
        zip(["run0", "run1", "run2"], percents, strict=True)
    )


def test_runs_without_a_result_end_at_their_last_setting():
    scores, finished = [0.5, math.nan, 0.7], [True, True, False]
    found = plot({"x": [1, 2, 3], "y": ["a", "a", "b"]}, scores, False, finished)
    assert [line.is_whole for line in found.lines] == [False, False, True]
    assert [len(points(line)) for line in found.lines] == [2, 2, 3]
    assert found.lines[0].title == "run1: loss -"
    nothing = make_parallel(["a"], {"x": [1]}, "loss", [math.nan], [True], False)
    assert nothing is None
