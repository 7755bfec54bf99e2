"""The course of a run: its curves, and where its time went."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cnnjax.report.html.charts import COLORS, Chart, Series, make_chart
from cnnjax.report.html.facts import RunFacts, shorten
from cnnjax.report.html.numbers import is_number, is_share

MOST_POINTS = 400
"""Of one line of a chart; of longer ones, points at equal distances are drawn."""
MOST_METRICS = 12
"""Charts of further metrics."""
LARGE = 1e30
"""Values of this size are not drawn, like those that are not finite."""
_NOT_METRICS = ("kind", "step", "epoch", "examples", "seconds", "loss", "accuracy")


class Share(NamedTuple):
    """Part of a run's time."""

    name: str
    seconds: float
    color: int


def make_curves(facts: RunFacts) -> list[Chart]:
    """Charts of loss, accuracy, further metrics, and the learning rate."""
    per_epoch = _steps_per_epoch(facts.records)
    best = facts.best_step
    note = "" if best is None else f"The dot is the best validation, of step {best:,}."
    charts = []
    for metric in ("loss", "accuracy"):
        lines = [
            make_series(facts.records, kind, metric, color, keep=best)
            for color, kind in enumerate(("train", "validation"))
        ]
        charts.append(_chart(metric, lines, best, note, per_epoch))
    for metric in _further_metrics(facts.records):
        line = make_series(facts.records, "validation", metric, 1, keep=best)
        charts.append(_chart(metric, [line], best, note, per_epoch))
    rate = make_series(facts.records, "train", "learning_rate", 0)
    rate = rate._replace(name="learning rate")
    charts.append(make_chart("learning rate", [rate], steps_per_epoch=per_epoch))
    return [chart for chart in charts if chart]


def compare_curves(runs: Sequence[RunFacts]) -> list[Chart]:
    """Charts with a line for each run: validation metrics and training loss."""
    wanted = [("validation", "loss"), ("validation", "accuracy"), ("train", "loss")]
    wanted += [
        ("validation", metric)
        for metric in _further_metrics([r for run in runs for r in run.records])
    ]
    charts = []
    for kind, metric in wanted:
        lines, marks = [], []
        for number, run in enumerate(runs):
            points = max(40, min(MOST_POINTS, 4000 // len(runs)))
            line = make_series(
                run.records,
                kind,
                metric,
                number % COLORS,
                keep=run.best_step,
                points=points,
            )
            lines.append(line._replace(name=shorten(run.name)))
            if kind == "validation" and run.best_step is not None:
                marks.append((number, run.best_step))
        charts.append(
            make_chart(
                f"{kind} {shorten(metric)}",
                lines,
                marks=marks,
                as_percent=is_share(metric),
                can_be_log=metric == "loss",
                note="Dots are the best validations." if marks else "",
            )
        )
    return [chart for chart in charts if chart]


def make_series(
    records: Sequence[Mapping[str, Any]],
    kind: str,
    metric: str,
    color: int,
    *,
    keep: int | None = None,
    points: int = MOST_POINTS,
) -> Series:
    """The values of a metric by step.

    Args:
        records: of the metrics file.
        kind: of the records: ``"train"`` or ``"validation"``.
        metric: its name.
        color: of the line.
        keep: a step that is never left out.
        points: how many there may be.
    """
    found = [
        (record["step"], _drawable(record[metric]))
        for record in records
        if record.get("kind") == kind
        and is_number(record.get("step"))
        and abs(record["step"]) < LARGE
        and is_number(record.get(metric))
    ]
    every = -(-len(found) // points) or 1
    last = len(found) - 1
    thin = [
        point
        for number, point in enumerate(found)
        if number % every == 0 or number == last or point[0] == keep
    ]
    return Series(kind, [x for x, _ in thin], [y for _, y in thin], color)


def time_shares(records: Sequence[Mapping[str, Any]]) -> list[Share]:
    """Where the time of a run went, as far as its metrics file tells; may be empty."""
    logged = [r for r in records if is_number(r.get("seconds"))]
    if not logged:
        return []
    total = max(float(record["seconds"]) for record in logged)
    steps = waiting = validation = 0.0
    before, trained_at = 0, {}
    for record in logged:
        step: Any = record.get("step")
        if not is_number(step):
            continue
        if record.get("kind") == "train":
            seconds = _finite(record.get("step_seconds")) * max(step - before, 0)
            share = min(max(_finite(record.get("data_wait_fraction")), 0), 1)
            steps, waiting = steps + seconds * (1 - share), waiting + seconds * share
            before, trained_at = step, {step: record["seconds"]}
        elif record.get("kind") == "validation" and step in trained_at:
            validation += max(record["seconds"] - trained_at[step], 0)
    known = [
        Share("training steps", steps, 0),
        Share("waiting for data", waiting, 1),
        Share("validation", validation, 2),
    ]
    rest = total - steps - waiting - validation
    known.append(Share("the rest: checkpoints, test", max(rest, 0), 3))
    return [share for share in known if math.isfinite(share.seconds)]


def last_step(records: Sequence[Mapping[str, Any]]) -> int:
    """The last step that any record is about."""
    return max((int(r["step"]) for r in records if is_number(r.get("step"))), default=0)


def last_epoch(records: Sequence[Mapping[str, Any]]) -> float:
    """The epochs that were trained."""
    epochs = [float(r["epoch"]) for r in records if is_number(r.get("epoch"))]
    return max(epochs, default=0.0)


def total_seconds(records: Sequence[Mapping[str, Any]]) -> float:
    """How long the run took, in all its processes."""
    found = [float(r["seconds"]) for r in records if is_number(r.get("seconds"))]
    return max(filter(math.isfinite, found), default=0.0)


def is_finished(records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the run reached its test."""
    return any(record.get("kind") == "test" for record in records)


def _chart(
    metric: str, lines: Sequence[Series], best: int | None, note: str, per_epoch: float
) -> Chart | None:
    lines = [line for line in lines if line.xs]
    marks = [
        (number, best)
        for number, line in enumerate(lines)
        if line.name == "validation" and best is not None
    ]
    return make_chart(
        shorten(metric),
        lines,
        marks=marks,
        as_percent=is_share(metric),
        can_be_log=metric == "loss",
        steps_per_epoch=per_epoch,
        note=note,
    )


def _further_metrics(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of metrics in validations beside loss and accuracy."""
    found = dict.fromkeys(
        name
        for record in records
        if record.get("kind") == "validation"
        for name, value in record.items()
        if name not in _NOT_METRICS and is_number(value)
    )
    return list(found)[:MOST_METRICS]


def _steps_per_epoch(records: Sequence[Mapping[str, Any]]) -> float:
    for record in records:
        step: Any = record.get("step")
        epoch: Any = record.get("epoch")
        if is_number(step) and is_number(epoch) and epoch > 0:
            return round(step / epoch, 4)
    return 0.0


def _drawable(value: float) -> float:
    return float(value) if abs(value) < LARGE else math.nan


def _finite(value: Any) -> float:
    return float(value) if is_number(value) and math.isfinite(value) else 0.0
