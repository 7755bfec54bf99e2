"""The table of a sweep: order, means over seeds, files."""

import csv
import json
import math
import re
import statistics

import pytest

from cnnjax.sweep import table
from cnnjax.sweep.outcome import FAILED, FINISHED, UNFINISHED, Outcome
from cnnjax.sweep.page import make_page
from cnnjax.sweep.plan import PlannedRun
from cnnjax.train.run.metrics import Monitor

LOSS, ACCURACY = Monitor("loss", False), Monitor("accuracy", True)
SCORES = [(0.1, 0, 0.5), (0.1, 1, 0.25), (0.2, 0, 0.125), (0.2, 1, None)]


def make_rows(metric="loss"):
    rows = []
    for number, (rate, seed, score) in enumerate(SCORES):
        values = {"optimizer.learning_rate": rate, "seed": seed}
        run = PlannedRun(number, f"run{number}", values, {}, None)
        best = {"kind": "validation", "step": 7, metric: score}
        outcome = Outcome(FINISHED, best=best, test={"loss": math.inf}, seconds=2.0)
        if score is None:
            outcome = Outcome(FAILED, "it broke")
        rows.append(table.Row(run, outcome))
    return rows


@pytest.mark.parametrize(
    ("monitor", "order"), [(LOSS, [2, 1, 0, 3]), (ACCURACY, [0, 1, 2, 3])]
)
def test_the_best_run_is_first(monitor, order):
    rows = table.sort_rows(make_rows(monitor.name), monitor)
    assert [row.run.number for row in rows] == order


def test_an_unfinished_run_is_not_the_best():
    rows = make_rows()
    rows[2] = rows[2]._replace(outcome=rows[2].outcome._replace(state=UNFINISHED))
    assert table.sort_rows(rows, LOSS)[0].run.number == 1
    assert [g.count for g in table.group_rows(rows, LOSS)] == [2, 0]


def test_means_and_spreads_over_the_seeds():
    best, other = table.group_rows(make_rows(), LOSS)
    assert best.values == {"optimizer.learning_rate": 0.2}
    assert (best.count, best.mean, best.low, best.high) == (1, 0.125, 0.125, 0.125)
    assert math.isnan(best.std)
    assert other.values == {"optimizer.learning_rate": 0.1}
    assert other[1:3] == (2, 0.375)
    assert other.std == pytest.approx(statistics.stdev([0.5, 0.25]))
    assert (other.low, other.high) == (0.25, 0.5)
    assert table.group_rows(make_rows()[::2], LOSS) == []  # one seed


def test_texts():
    head, *rows = table.run_table(make_rows(), LOSS)
    assert head[:3] == ["run", "learning_rate", "seed"]
    assert head[3:] == ["validation loss", "at step", "state"]
    assert rows[0] == ["2", "0.2", "0", "0.125", "7", "finished"]
    assert rows[-1] == ["3", "0.2", "1", "-", "-", "failed"]
    assert table.short_text(0.08311303692) == "0.083113"
    assert table.group_table(make_rows(), LOSS)[2][1:4] == ["2", "0.375", "0.1768"]
    assert table.lines([["a\n", "b"], ["ccc", "d"]]) == ["a\\n  b", "ccc  d"]


def test_files():
    found = json.loads(table.to_json(make_rows(), LOSS))
    assert found["monitor"] == {"name": "loss", "higher_is_better": False}
    assert found["runs"][0]["settings"] == {"optimizer.learning_rate": 0.2, "seed": 0}
    assert found["runs"][0]["test"] == {"loss": "Infinity"}
    assert found["groups"][0]["std"] == "NaN"
    lines = [*csv.DictReader(table.to_csv(make_rows(), LOSS).splitlines())]
    assert [line["name"] for line in lines] == ["run2", "run1", "run0", "run3"]
    assert lines[0]["optimizer.learning_rate"] == "0.2"
    assert (lines[0]["validation_loss"], lines[0]["best_step"]) == ("0.125", "7")
    assert (lines[3]["state"], lines[3]["reason"]) == ("failed", "it broke")


def test_the_page_shows_the_runs_and_escapes_their_texts():
    rows = make_rows()
    evil = "<script>alert(1)</script>\x1b"
    values = {"data.source": evil, "seed": 0}
    run = rows[0].run._replace(name=evil, values=values)
    failed = rows[3].outcome._replace(reason=evil)
    odd = [
        table.Row(run, rows[0].outcome),
        table.Row(run._replace(values=values | {"seed": 1}), failed),
    ]
    for shown in (rows, odd, [rows[0]], rows[3:]):
        page = make_page(f"Sweep {evil}", shown, LOSS)
        assert "<script>alert" not in page
        assert "\x1b" not in page
        assert not re.search(r"(src|href)=|url\(|https?://", page)
        assert (page.count('class="run') > 0) == (shown != rows[3:])
    page = make_page("Sweep", rows, LOSS)
    assert page.count('class="run open"') == 1
    assert "Means over the seeds" in page
    assert page.index(">0.125<") < page.index(">0.375<")


def test_a_sweep_of_seeds_alone_has_one_mean():
    rows = [
        row._replace(run=row.run._replace(values={"seed": row.run.number}))
        for row in make_rows()
    ]
    head, line = table.group_table(rows, LOSS)
    assert head[0] == "runs"
    assert line[:2] == ["3", "0.2917"]
    page = make_page("Sweep", rows, LOSS)
    assert re.search(r'<td data-value="0.29166\d+">0.2917</td>', page)
