"""What a report of several runs shows: results, settings that differ, and chance."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from cnnjax.data.tasks import REGRESSION
from cnnjax.report.html.facts import RunFacts, shorten
from cnnjax.report.html.history import last_epoch, last_step, total_seconds
from cnnjax.report.html.numbers import p_text, value_text
from cnnjax.report.html.significance import (
    Difference,
    find_difference,
    why_not_comparable,
)
from cnnjax.report.lines import duration_text

MOST_FOR_PAIRS = 5
"""Up to so many runs, each is compared with each; of more, each with the first."""
MOST_METRICS = 20
"""Columns of the table of results."""
MOST_CHARACTERS = 200


class Pair(NamedTuple):
    """Two runs on the same test examples, in words; ``problem`` says why not."""

    first: str
    second: str
    problem: str = ""
    difference: str = ""
    interval: str = ""
    only: str = ""
    p: str = ""
    verdict: str = ""
    is_clear: bool = False


class Row(NamedTuple):
    """One line of a table of results: texts, and values to sort by."""

    texts: Sequence[str]
    values: Sequence[Any]


def result_table(runs: Sequence[RunFacts]) -> tuple[list[str], list[Row]]:
    """The headings and the rows of the table of results."""
    metrics = dict.fromkeys(name for run in runs for name in run.score)
    metrics.pop("examples", None)
    names = sorted(metrics, key=lambda name: name != "accuracy")[:MOST_METRICS]
    headings = ["run", *map(shorten, names), "parameters", "epochs", "steps", "time"]
    rows = []
    for run in runs:
        values = [run.score.get(name) for name in names]
        seconds, epochs = total_seconds(run.records), last_epoch(run.records)
        step = last_step(run.records)
        texts = [shorten(run.name)]
        texts += [value_text(v, name) for v, name in zip(values, names, strict=True)]
        texts += [value_text(run.parameters), f"{epochs:.4g}", f"{step:,}"]
        texts += [duration_text(seconds)]
        rows.append(Row(texts, [*values, run.parameters, epochs, step, seconds]))
    return headings, rows


def config_differences(runs: Sequence[RunFacts]) -> list[tuple[str, list[str]]]:
    """The settings that are not the same in all runs, with the value in each."""
    found = [{s.name: s.value for s in run.settings} for run in runs]
    names = dict.fromkeys(name for settings in found for name in settings)
    rows = [(name, [settings.get(name, "-") for settings in found]) for name in names]
    return [
        (shorten(name), [shorten(value, MOST_CHARACTERS) for value in values])
        for name, values in rows
        if len(set(values)) > 1
    ]


def compare_pairs(runs: Sequence[RunFacts]) -> list[Pair]:
    """The differences of the runs' test results, and whether they are chance."""
    if len(runs) <= MOST_FOR_PAIRS:
        pairs = itertools.combinations(runs, 2)
    else:
        pairs = ((runs[0], run) for run in runs[1:])
    return [_compare(first, second) for first, second in pairs]


def _compare(first: RunFacts, second: RunFacts) -> Pair:
    names = shorten(first.name), shorten(second.name)
    problem = why_not_comparable(first, second)
    if problem or first.predicted is None or second.predicted is None:
        return Pair(*names, problem)
    found = find_difference(first.predicted.outputs, second.predicted.outputs)
    return _describe(names, found, first.task)


def _describe(names: tuple[str, str], found: Difference, task: str) -> Pair:
    gap = found.second - found.first
    lower_is_better = task == REGRESSION
    if lower_is_better:
        difference = f"{gap:+.4g}"
        interval = f"{found.low:+.4g} to {found.high:+.4g}"
        only = p = "-"
    else:
        difference = f"{100 * gap:+.2f} points"
        interval = f"{100 * found.low:+.2f} to {100 * found.high:+.2f}"
        only = f"{found.only_first:,} / {found.only_second:,}"
        p = p_text(found.p) if found.p is not None else "-"
    verdict = "the difference may be chance"
    if found.is_clear and gap:
        better = names[(gap > 0) != lower_is_better]
        verdict = f"{better} is better"
    return Pair(*names, "", difference, interval, only, p, verdict, found.is_clear)
