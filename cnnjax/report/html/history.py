"""The course of a run: its curves, and where its time went."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

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
    note = "" if best is None else f"The dot marks the best validation (step {best:,})."
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


def chart_layers(facts: RunFacts) -> Chart | None:
    """The norm of the gradient of some layers by step; ``None`` if none was recorded.

    Layers with a kernel are preferred, in the order in which they run.
    """
    prefix = "gradient_norm/"
    recorded = dict.fromkeys(
        name.removeprefix(prefix)
        for record in facts.layers
        for name in record
        if name.startswith(prefix)
    )
    layers = sorted(recorded, key=_natural)
    if facts.inside is not None:
        layers = [n for n in facts.inside.kernels if n in recorded] or layers
    count, note = len(layers), ""
    if count > COLORS:
        chosen = {round(i * (count - 1) / (COLORS - 1)) for i in range(COLORS)}
        layers = [layers[i] for i in sorted(chosen)]
        note = f"{COLORS} of {count} layers are drawn; layers.jsonl has all."
    lines = []
    for color, layer in enumerate(layers):
        line = make_series(facts.layers, "layers", prefix + layer, color)
        lines.append(line._replace(name=shorten(layer)))
    chart = make_chart(
        "norm of the gradient of each layer",
        [line for line in lines if line.xs],
        can_be_log=True,
        steps_per_epoch=_steps_per_epoch(facts.records),
        note=note,
    )
    return chart and chart._replace(shows_legend=True)


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts ``Conv_2`` before ``Conv_10``."""
    return [(len(part) if part.isdigit() else 0, part) for part in name.split("_")]


def compare_curves(runs: Sequence[RunFacts]) -> list[Chart]:
    """Charts with a line for each run: validation metrics and training loss."""
    wanted = [("validation", "loss"), ("validation", "accuracy"), ("train", "loss")]
    wanted += [
        ("validation", metric)
        for metric in _further_metrics([r for run in runs for r in run.records])
    ]
    charts, points = [], max(40, min(MOST_POINTS, 4000 // len(runs)))
    for kind, metric in wanted:
        lines, marks = [], []
        for number, run in enumerate(runs):
            best, color = run.best_step, number % COLORS
            line = make_series(
                run.records, kind, metric, color, keep=best, points=points
            )
            if not line.xs:
                continue
            if kind == "validation" and best is not None:
                marks.append((len(lines), best))
            lines.append(line._replace(name=shorten(run.name)))
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
    return [chart._replace(shows_legend=True) for chart in charts if chart]


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
        and _is_finite(record.get("step"))
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
    total = total_seconds(records)
    if not total:
        return []
    steps = waiting = validation = saving = last = 0.0
    before, logged = 0, (0, 0.0)
    for record in records:
        kind, step, now = (record.get(name) for name in ("kind", "step", "seconds"))
        if not (_is_finite(step) and _is_finite(now)):
            continue
        if kind == "train":
            seconds = _finite(record.get("step_seconds")) * max(step - before, 0)
            share = min(max(_finite(record.get("data_wait_fraction")), 0), 1)
            steps, waiting = steps + seconds * (1 - share), waiting + seconds * share
            validation += max(_finite(record.get("validation_seconds")), 0)
            saving += max(_finite(record.get("checkpoint_seconds")), 0)
            before, logged, last = step, (step, now), 0.0
        elif kind == "validation" and step == logged[0]:
            last = max(now - logged[1], 0)  # which no later line of training counts
    known = [
        Share("training steps", steps, 0),
        Share("waiting for data", waiting, 1),
        Share("validation", validation + last, 2),
        Share("checkpoints", saving, 4),
    ]
    rest = total - sum(share.seconds for share in known)
    return [*known, Share("other (last checkpoint, test)", max(rest, 0), 3)]


def last_step(records: Sequence[Mapping[str, Any]]) -> int:
    """The last step that any record is about."""
    return int(max(_numbers(records, "step"), default=0))


def last_epoch(records: Sequence[Mapping[str, Any]]) -> float:
    """The epochs that were trained."""
    return max(_numbers(records, "epoch"), default=0.0)


def total_seconds(records: Sequence[Mapping[str, Any]]) -> float:
    """How long the run took, in all its processes."""
    return max(_numbers(records, "seconds"), default=0.0)


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
        step, epoch = record.get("step"), record.get("epoch")
        if _is_finite(step) and _is_finite(epoch) and epoch > 1e-6:
            return round(step / epoch, 4)
    return 0.0


def _numbers(records: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """The values called ``name`` that can be used."""
    values = [record.get(name) for record in records]
    return [value for value in values if _is_finite(value)]


def _drawable(value: float) -> float:
    return float(value) if abs(value) < LARGE else math.nan


def _finite(value: Any) -> float:
    return float(value) if _is_finite(value) else 0.0


def _is_finite(value: Any) -> TypeGuard[int | float]:
    """Whether a value is a number of reasonable size."""
    return is_number(value) and abs(value) < LARGE
