"""Parallel coordinates as data: one upright axis per setting, one line per run.

Positions are fractions of the plot, from 0 at the left or top to 1.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cnnjax.report.html.charts import LOG_RATIO, SIZE, Axis, Tick
from cnnjax.report.html.numbers import is_number, is_share, value_text

MOST_PLACES = 8
"""Up to so many different values, each has a place of its own, evenly spaced."""
LONGEST_TICK = 14


class Column(NamedTuple):
    """An upright axis: its place from the left, its name, its labels from the top."""

    place: float
    name: str
    ticks: Sequence[Tick]


class Line(NamedTuple):
    """A run across the axes.

    Attributes:
        d: its SVG path.
        title: its name and its result.
        percent: how many of the other finished runs are worse, from 0 to 100.
        is_whole: whether it is finished and has a result.
    """

    d: str
    title: str
    percent: int
    is_whole: bool


class Parallel(NamedTuple):
    """A plot, ready to be drawn; the best lines come last, on top."""

    columns: Sequence[Column]
    lines: Sequence[Line]


def make_parallel(
    names: Sequence[str],
    settings: Mapping[str, Sequence[Any]],
    metric: str,
    scores: Sequence[float],
    finished: Sequence[bool],
    higher_is_better: bool,
) -> Parallel | None:
    """A plot of runs; ``None`` if none is finished.

    Args:
        names: of the runs.
        settings: the values of each setting, one per run.
        metric: the name of what is scored.
        scores: one per run; NaN where there is none.
        finished: one per run.
        higher_is_better: which score wins.
    """
    whole = [f and math.isfinite(s) for f, s in zip(finished, scores, strict=True)]
    if not any(whole):
        return None
    spread = max(len(settings), 1)
    places, columns = [], []
    for number, (name, values) in enumerate(settings.items()):
        heights, ticks = _setting_axis(values)
        places.append(heights)
        columns.append(Column(number / spread, name, ticks))
    good = [s for s, is_whole in zip(scores, whole, strict=True) if is_whole]
    low, high = min(good), max(good)
    axis = _numbers_axis(low, high)
    ticks = [
        Tick(float(1 - axis.place(value)), text)
        for value, text in axis.ticks(4, is_share(metric))
    ]
    columns.append(Column(1.0, metric, ticks))
    lines = []
    for number, name in enumerate(names):
        heights = [column[number] for column in places]
        if whole[number]:
            heights.append(float(1 - axis.place(scores[number])))
        lines.append(
            Line(
                _path(heights, spread),
                f"{name}: {metric} {value_text(scores[number], metric)}",
                _percent(scores[number], good, higher_is_better)
                if whole[number]
                else 0,
                whole[number],
            )
        )
    return Parallel(columns, sorted(lines, key=lambda x: (x.is_whole, x.percent)))


def _percent(score: float, others: Sequence[float], higher_is_better: bool) -> int:
    worse = sum(x < score if higher_is_better else x > score for x in others)
    return round(100 * worse / (len(others) - 1)) if len(others) > 1 else 100


def _setting_axis(values: Sequence[Any]) -> tuple[list[float], list[Tick]]:
    """The places of a setting's values from the top, and the labels."""
    texts = [_text(value) for value in values]
    are_numbers = all(is_number(v) and math.isfinite(v) for v in values)
    if are_numbers and len({*values}) > MOST_PLACES:
        axis = _numbers_axis(min(values), max(values))
        ticks = [Tick(float(1 - axis.place(v)), text) for v, text in axis.ticks(4)]
        return (1 - axis.place(values)).tolist(), ticks
    keys = values if are_numbers else texts
    order = [text for _, text in sorted({*zip(keys, texts, strict=True)})]
    order = [*dict.fromkeys(order)]
    last = len(order) - 1
    found = {t: 1 - i / last if last else 0.5 for i, t in enumerate(order)}
    shown = order if last < 2 * MOST_PLACES else []
    ticks = [Tick(found[text], _cut(text)) for text in shown]
    return [found[text] for text in texts], ticks


def _numbers_axis(low: float, high: float) -> Axis:
    if low > 0 and high / low >= LOG_RATIO:
        return Axis(low, high, is_log=True)
    if high == low:
        margin = abs(low) * 0.1 or 0.5
        low, high = low - margin, high + margin
    return Axis(float(low), float(high))


def _path(heights: Sequence[float], spread: int) -> str:
    points = [f"{SIZE * i / spread:.0f} {SIZE * y:.1f}" for i, y in enumerate(heights)]
    return "M" + "L".join(points) + ("h.01" if len(points) == 1 else "")


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TICK else f"{text[: LONGEST_TICK - 1]}…"
