"""Charts as data: scales, ticks and SVG paths, which a template draws.

Positions are fractions of the plot, from 0 at the left or top to 1. The plot is
stretched to the width of the page, while lines and texts keep their sizes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnjax.report.html.numbers import short

SIZE = 1000
"""Width and height of a plot in the units of its paths."""
LOG_RATIO = 100
"""Above this ratio of the largest to the smallest value, an axis is logarithmic."""
COLORS = 8


class Series(NamedTuple):
    """Values to draw.

    Attributes:
        name: for the legend.
        xs: ascending.
        ys: one for each; values that are not finite leave a gap.
        color: a number below ``COLORS``.
        kind: ``"line"``, ``"dashed"``, ``"points"`` or ``"bars"``.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    color: int = 0
    kind: str = "line"


class Tick(NamedTuple):
    """A label at a place of an axis."""

    place: float
    text: str


class Mark(NamedTuple):
    """A dot that stands out."""

    x: float
    y: float
    color: int


class Path(NamedTuple):
    """What is drawn for a series."""

    d: str
    color: int
    kind: str
    name: str


class Chart(NamedTuple):
    """A chart, ready to be drawn.

    Attributes:
        title: above it.
        x_name: what its horizontal axis shows.
        x_ticks, y_ticks: of the axes.
        paths: of the series, in order.
        marks: dots.
        note: a sentence below it; may be empty.
        shows_legend: whether even a single series is named.
        hover: the values to show under the pointer, for JSON.
    """

    title: str
    x_name: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    paths: Sequence[Path]
    marks: Sequence[Mark]
    note: str
    hover: Mapping[str, Any]
    shows_legend: bool = False


class Axis(NamedTuple):
    """A scale from ``low`` to ``high``, which may be logarithmic."""

    low: float
    high: float
    is_log: bool = False

    def place(self, values: Any) -> Any:
        """Where values are on the axis, from 0 to 1."""
        low, high = self.low, self.high
        if self.is_log:
            low, high = math.log10(low), math.log10(high)
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.log10(values)
        return (np.asarray(values, np.float64) - low) / (high - low)

    def ticks(self, count: int, as_percent: bool = False) -> list[tuple[float, str]]:
        """Round values on the axis, and their texts."""
        values = _decades(self) if self.is_log else []
        if len(values) < 2:
            values = round_values(self.low, self.high, count)
        texts = [f"{100 * v:.6g}%" if as_percent else short(v) for v in values]
        return list(zip(values, texts, strict=True))


def make_chart(
    title: str,
    series: Sequence[Series],
    *,
    x_name: str = "step",
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    marks: Sequence[tuple[int, float]] = (),
    as_percent: bool = False,
    can_be_log: bool = False,
    steps_per_epoch: float = 0,
    note: str = "",
) -> Chart | None:
    """A chart of some series; ``None`` if no value is finite.

    Args:
        title: above the chart.
        series: what to draw, from bottom to top.
        x_name: of the horizontal axis.
        x_range: of the horizontal axis; by default, that of the values.
        y_range: of the vertical axis; by default, one around the values.
        marks: numbers of series, and values of x at which each has a dot. A line with
            only one point is a dot, too.
        as_percent: whether values are shown in percent.
        can_be_log: whether the vertical axis may be logarithmic.
        steps_per_epoch: to show epochs beside steps; 0 shows none.
        note: a sentence below the chart.
    """
    xs = np.concatenate([np.asarray(s.xs, np.float64) for s in series] or [[]])
    ys = np.concatenate([np.asarray(s.ys, np.float64) for s in series] or [[]])
    seen = np.isfinite(ys) & np.isfinite(xs)
    if not seen.any():
        return None
    x_axis = Axis(*_apart(*(x_range or (xs[seen].min(), xs[seen].max()))))
    y_axis = Axis(*y_range) if y_range else _around(ys[seen], can_be_log)
    x_ticks = [Tick(float(x_axis.place(x)), text) for x, text in x_axis.ticks(4)]
    y_ticks = [
        Tick(1 - float(y_axis.place(y)), text)
        for y, text in y_axis.ticks(4, as_percent)
    ]
    if y_axis.is_log:
        note = f"{note} The vertical axis is logarithmic.".strip()
    return Chart(
        title=title,
        x_name=x_name,
        x_ticks=x_ticks,
        y_ticks=y_ticks,
        paths=[
            Path(_draw(each, x_axis, y_axis), each.color, each.kind, each.name)
            for each in series
        ],
        marks=[
            mark
            for number, x in [*marks, *_single_points(series)]
            if (mark := _mark(series[number], x, x_axis, y_axis))
        ],
        note=note,
        hover={
            "x": [x_axis.low, x_axis.high],
            "xName": x_name,
            "percent": as_percent,
            "perEpoch": steps_per_epoch,
            "series": [_hover(each) for each in series if each.kind != "dashed"],
        },
    )


def round_values(low: float, high: float, count: int) -> list[float]:
    """About ``count`` round values between ``low`` and ``high``: 1, 2 or 5 apart."""
    least = (high - low) / (count + 1.5)
    base = 10.0 ** math.floor(math.log10(least))
    step = next(base * n for n in (1, 2, 5, 10) if base * n >= least * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{n * step:.10g}") for n in range(first, last + 1)]


def _decades(axis: Axis) -> list[float]:
    first = math.ceil(math.log10(axis.low) - 1e-9)
    last = math.floor(math.log10(axis.high) + 1e-9)
    apart = -(-(last - first + 1) // 6) or 1
    return [10.0**n for n in range(first, last + 1, apart)]


def _apart(low: float, high: float) -> tuple[float, float]:
    """The same two numbers, or some around them if they are equal."""
    low, high = float(low), float(high)
    if high > low:
        return low, high
    margin = abs(low) * 0.1 or 0.5
    return low - margin, low + margin


def _around(ys: np.ndarray, can_be_log: bool) -> Axis:
    low, high = float(ys.min()), float(ys.max())
    if can_be_log and low > 0 and high / low > LOG_RATIO:
        return Axis(low / 1.15, high * 1.15, is_log=True)
    low, high = _apart(low, high)
    margin = 0.04 * (high - low)
    return Axis(0.0 if 0 <= low < margin else low - margin, high + margin)


def _draw(series: Series, x_axis: Axis, y_axis: Axis) -> str:
    xs = np.round(SIZE * x_axis.place(series.xs), 1)
    ys = np.round(SIZE * (1 - y_axis.place(series.ys)), 1)
    parts, begins = [], True
    for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
        if not math.isfinite(y):
            begins = True
        elif series.kind == "points":
            parts.append(f"M{x:g} {y:g}h.01")
        elif series.kind == "bars":
            half = 0.45 * SIZE / len(xs)
            parts.append(f"M{x - half:g} {SIZE}V{y:g}h{2 * half:g}V{SIZE}z")
        else:
            parts.append(f"{'M' if begins else 'L'}{x:g} {y:g}")
            begins = False
    return "".join(parts)


def _single_points(series: Sequence[Series]) -> list[tuple[int, float]]:
    """The number and the x of each line with one point, which would be invisible."""
    found = []
    for number, each in enumerate(series):
        seen = [x for x, y in zip(each.xs, each.ys, strict=True) if math.isfinite(y)]
        if each.kind == "line" and len(seen) == 1:
            found.append((number, seen[0]))
    return found


def _mark(series: Series, x: float, x_axis: Axis, y_axis: Axis) -> Mark | None:
    for x_value, y_value in zip(series.xs, series.ys, strict=True):
        if x_value == x and math.isfinite(y_value):
            place = float(x_axis.place(x)), 1 - float(y_axis.place(y_value))
            return Mark(*place, series.color)
    return None


def _hover(series: Series) -> dict[str, Any]:
    points = [
        (float(f"{x:.6g}") if x != int(x) else int(x), float(f"{y:.4g}"))
        for x, y in zip(series.xs, series.ys, strict=True)
        if math.isfinite(y) and math.isfinite(x)
    ]
    return {
        "name": series.name,
        "color": series.color,
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
    }
