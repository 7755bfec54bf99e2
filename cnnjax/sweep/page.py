"""``sweep.html``: the runs of a sweep as a page that needs no network."""

import math
from collections.abc import Sequence
from typing import Any

from cnnjax.report.html.facts import shorten
from cnnjax.report.html.page import render
from cnnjax.report.html.parallel import make_parallel
from cnnjax.sweep.outcome import FINISHED
from cnnjax.sweep.plan import short_labels
from cnnjax.sweep.table import Row, group_rows, group_table, run_table, sort_rows
from cnnjax.train.run.metrics import Monitor


def make_page(title: str, rows: Sequence[Row], monitor: Monitor) -> str:
    """The table of the runs, the means over seeds, and parallel coordinates.

    All texts are escaped.

    Args:
        title: of the page.
        rows: one or more.
        monitor: the metric that decides.
    """
    labels = short_labels([*rows[0].run.values])
    headings, *texts = run_table(rows, monitor)
    group_headings, *group_texts = group_table(rows, monitor) or [[]]
    plot = make_parallel(
        [shorten(row.run.name) for row in rows],
        {
            shorten(label): [_plotted(row.run.values[name]) for row in rows]
            for name, label in labels.items()
        },
        f"validation {monitor.name}",
        [row.value(monitor) for row in rows],
        [row.outcome.state == FINISHED for row in rows],
        monitor.higher_is_better,
    )
    values = {
        "title": shorten(title),
        "count": len(rows),
        "finished": sum(row.outcome.state == FINISHED for row in rows),
        "plot": plot,
        "headings": headings,
        "runs": [
            (_shown(line), _sorted_by(row, monitor))
            for line, row in zip(texts, sort_rows(rows, monitor), strict=True)
        ],
        "group_headings": group_headings,
        "groups": [
            (_shown(line), [*map(_key, [*group.values.values(), *group[1:]])][1:])
            for line, group in zip(group_texts, group_rows(rows, monitor), strict=True)
        ],
        "problems": [
            (shorten(row.run.name), shorten(row.outcome.reason, 300))
            for row in rows
            if row.outcome.reason
        ],
        "pictures": {},
        "cells": {},
    }
    return render("sweep.html.j2", values, [])


def _shown(texts: Sequence[str]) -> list[str]:
    return [shorten(text) for text in texts]


def _sorted_by(row: Row, monitor: Monitor) -> list[Any]:
    """The values by which a row is sorted; the first column stays as it is."""
    found = [*row.run.values.values(), row.value(monitor)]
    found += [row.outcome.best.get("step"), row.outcome.state]
    return [_key(value) for value in found]


def _key(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if _is_number(value) or value is None else shorten(value)


def _plotted(value: Any) -> Any:
    return value if _is_number(value) else shorten(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
