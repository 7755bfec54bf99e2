"""The runs of a sweep as a table: sorted, and with means and spreads over seeds."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnjax.report.html.numbers import value_text as metric_text
from cnnjax.report.metrics_file import encode
from cnnjax.streams import printable
from cnnjax.sweep.outcome import FINISHED, Outcome
from cnnjax.sweep.plan import PlannedRun, short_labels, value_text
from cnnjax.train.run.metrics import Monitor

SEED = "seed"
_HEAD = ("kind", "step", "epoch", "seconds")


class Row(NamedTuple):
    """A run with its outcome."""

    run: PlannedRun
    outcome: Outcome

    def value(self, monitor: Monitor) -> float:
        """The monitored metric of the best validation; NaN if there is none."""
        return float(self.outcome.best.get(monitor.name, math.nan))


class Group(NamedTuple):
    """The finished runs that differ only in their seed.

    Attributes:
        values: of the swept settings apart from the seed.
        count: of finished runs with a finite value.
        mean: of the monitored metric; NaN without runs.
        std: the sample standard deviation; NaN with fewer than two runs.
        low: the least value.
        high: the largest.
    """

    values: Mapping[str, Any]
    count: int
    mean: float
    std: float
    low: float
    high: float


def sort_rows(rows: Sequence[Row], monitor: Monitor) -> list[Row]:
    """The best run first; those that are not finished or have no value come last."""

    def place(row: Row) -> tuple[bool, bool, float, int]:
        value = row.value(monitor)
        is_missing = math.isnan(value)
        key = 0.0 if is_missing else -value if monitor.higher_is_better else value
        is_finished = row.outcome.state == FINISHED
        return not is_finished, is_missing, key, row.run.number

    return sorted(rows, key=place)


def group_rows(rows: Sequence[Row], monitor: Monitor) -> list[Group]:
    """Means and spreads over the seeds, the best first; none if there is one seed."""
    if len({row.run.values.get(SEED) for row in rows}) < 2:
        return []
    found: dict[str, list[Row]] = {}
    for row in rows:
        shared = {k: v for k, v in row.run.values.items() if k != SEED}
        found.setdefault(repr(shared), []).append(row)
    groups = [_group(members, monitor) for members in found.values()]
    sign = -1 if monitor.higher_is_better else 1
    return sorted(groups, key=lambda g: (math.isnan(g.mean), sign * g.mean))


def _group(members: Sequence[Row], monitor: Monitor) -> Group:
    shared = {k: v for k, v in members[0].run.values.items() if k != SEED}
    values = [m.value(monitor) for m in members if m.outcome.state == FINISHED]
    values = [value for value in values if math.isfinite(value)]
    if not values:
        return Group(shared, 0, *[math.nan] * 4)
    std = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return Group(
        shared, len(values), float(np.mean(values)), std, min(values), max(values)
    )


def run_table(rows: Sequence[Row], monitor: Monitor) -> list[list[str]]:
    """The sorted runs as texts, with a row of headings."""
    labels = short_labels([*rows[0].run.values]) if rows else {}
    name = f"validation {monitor.name}"
    head = ["run", *labels.values(), name, "at step", "state"]
    return [
        head,
        *(
            [
                str(row.run.number),
                *map(short_text, row.run.values.values()),
                metric_text(row.outcome.best.get(monitor.name), monitor.name),
                str(row.outcome.best.get("step", "-")),
                row.outcome.state,
            ]
            for row in sort_rows(rows, monitor)
        ),
    ]


def group_table(rows: Sequence[Row], monitor: Monitor) -> list[list[str]]:
    """Means and spreads as texts, with a row of headings; empty without seeds."""
    groups = group_rows(rows, monitor)
    if not groups:
        return []
    labels = short_labels([*groups[0].values]).values()
    name = f"validation {monitor.name}"
    head = [*labels, "runs", f"mean {name}", "std", "lowest", "highest"]
    return [
        head,
        *(
            [
                *map(short_text, group.values.values()),
                str(group.count),
                *(metric_text(value, monitor.name) for value in group[2:]),
            ]
            for group in groups
        ),
    ]


def short_text(value: Any) -> str:
    """A value of a setting, with up to six digits."""
    return f"{value:.6g}" if isinstance(value, float) else value_text(value)


def lines(table: Sequence[Sequence[str]]) -> list[str]:
    """A table of texts as aligned lines."""
    shown = [[printable(text) for text in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [
        "  ".join(f"{t:<{w}}" for t, w in zip(row, widths, strict=True)).rstrip()
        for row in shown
    ]


def as_values(rows: Sequence[Row], monitor: Monitor) -> dict[str, Any]:
    """The sorted runs, and the means over seeds, as a tree for JSON."""
    return {
        "monitor": monitor._asdict(),
        "runs": [_run_values(row) for row in sort_rows(rows, monitor)],
        "groups": [
            {name: encode(value) for name, value in group._asdict().items()}
            for group in group_rows(rows, monitor)
        ],
    }


def _run_values(row: Row) -> dict[str, Any]:
    best, test = _scores(row.outcome.best), _scores(row.outcome.test)
    return {
        "number": row.run.number,
        "name": row.run.name,
        "settings": dict(row.run.values),
        "state": row.outcome.state,
        "reason": row.outcome.reason,
        "best_step": row.outcome.best.get("step"),
        "validation": best,
        "test": test,
        "seconds": encode(row.outcome.seconds),
    }


def _scores(record: Mapping[str, Any]) -> dict[str, Any]:
    return {k: encode(v) for k, v in record.items() if k not in _HEAD}


def to_json(rows: Sequence[Row], monitor: Monitor) -> str:
    """The content of ``sweep.json``."""
    return json.dumps(as_values(rows, monitor), indent=2) + "\n"


def to_csv(rows: Sequence[Row], monitor: Monitor) -> str:
    """The content of ``sweep.csv``: one line per run."""
    records = []
    for run in as_values(rows, monitor)["runs"]:
        parts = {f"validation_{k}": v for k, v in run.pop("validation").items()}
        parts |= {f"test_{k}": v for k, v in run.pop("test").items()}
        settings = {k: value_text(v) for k, v in run.pop("settings").items()}
        records.append({"name": run.pop("name"), **settings, **run, **parts})
    fields = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()
