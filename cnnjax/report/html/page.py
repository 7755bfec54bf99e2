"""The HTML file itself: templates filled with facts."""

import base64
import hashlib
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnnjax.data.tasks import CLASSIFICATION, MULTILABEL, REGRESSION
from cnnjax.report.html.charts import Chart
from cnnjax.report.html.comparison import (
    compare_pairs,
    config_differences,
    result_table,
)
from cnnjax.report.html.facts import RunFacts, shorten
from cnnjax.report.html.history import (
    chart_layers,
    compare_curves,
    is_finished,
    last_epoch,
    last_step,
    make_curves,
    time_shares,
    total_seconds,
)
from cnnjax.report.html.inside import describe_inside
from cnnjax.report.html.masks import HEADINGS, describe_masks
from cnnjax.report.html.numbers import value_text
from cnnjax.report.html.predictions import describe_doubtful, describe_predictions
from cnnjax.report.lines import duration_text
from cnnjax.streams import printable

TEMPLATES = Path(__file__).parents[1] / "templates"
MOST_VALUES = 40
"""Scores, and rows of a list of facts."""
LONGEST_LEVEL = 3
"""Characters of names above a confusion matrix; longer ones are turned."""
LONGEST_VALUE = 300
"""Characters of the longest value of a setting that is shown whole."""

_CAPTIONS = {
    CLASSIFICATION: "Captions give the true class, the prediction with its"
    " probability, and the file.",
    MULTILABEL: "Captions give the true classes, the predicted ones with their"
    " probabilities, the loss and the file.",
    REGRESSION: "Captions give the true values, the predicted ones, the loss and the"
    " file.",
}


class Slice(NamedTuple):
    """A part of a run's time, with its share of the whole."""

    name: str
    duration: str
    color: int
    share: float


def make_page(runs: Sequence[RunFacts]) -> str:
    """The report of one run, or of several side by side, as an HTML file.

    The file needs no network, and its policy forbids it to use one. All texts are
    escaped, so that names from somebody else's data stay texts.

    Args:
        runs: one or more.
    """
    charts: list[Chart] = []
    if len(runs) == 1:
        template, values = "run.html.j2", _run_values(runs[0], charts)
    else:
        template, values = "runs.html.j2", _comparison_values(runs, charts)
    return render(template, values, charts)


def _run_values(facts: RunFacts, charts: list[Chart]) -> dict[str, Any]:
    """What the template of one run shows; its charts are added to ``charts``."""
    found = describe_predictions(facts)
    curves = _number(make_curves(facts), charts)
    scatter = _number(found.scatter, charts)
    both = found.calibration
    calibration = _number([both.chart, both.counts] if both else [], charts)
    layers, names = chart_layers(facts), facts.shown_names
    masks, doubtful = None, None
    if facts.label_maps is not None:
        masks = describe_masks(facts.label_maps, names)
    if facts.doubtful is not None:
        doubtful = describe_doubtful(facts.doubtful, names)
    shares = time_shares(facts.records)
    whole = sum(share.seconds for share in shares) or 1
    metrics = sorted(facts.score, key=lambda name: name != "accuracy")[:MOST_VALUES]
    changed = [s for s in facts.settings if s.is_changed]
    others = [s for s in facts.settings if not s.is_changed]
    return {
        "title": shorten(facts.name),
        "scores": [
            (shorten(name), value_text(facts.score[name], name))
            for name in metrics
            if name != "examples"
        ],
        "rows": _describe_run(facts),
        "curves": curves,
        "found": found,
        "scatter": scatter,
        "calibration": calibration,
        "class_rows": [([row.name, *row.texts], row.values) for row in found.classes],
        "tilts": max(map(len, found.names), default=0) > LONGEST_LEVEL,
        "time": [
            Slice(s.name, duration_text(s.seconds), s.color, s.seconds / whole)
            for s in shares
        ],
        "changed": [_setting(s) for s in changed],
        "others": [_setting(s) for s in others],
        "machine": _pairs(facts.machine),
        "versions": _pairs(facts.versions),
        "commands": _commands(facts),
        "problem": printable(facts.problem),
        "task": shorten(facts.task),
        "layers": _number([layers] if layers else [], charts),
        "tiles": describe_inside(facts.inside) if facts.inside else [],
        "doubtful": doubtful,
        "not_doubtful": printable(facts.not_doubtful),
        "masks": masks,
        "mask_rows": [([row.name, *row.texts], row.values) for row in masks.rows]
        if masks
        else [],
        "mask_headings": HEADINGS,
        "caption_text": _CAPTIONS.get(facts.task, ""),
        "is_known_task": facts.task in (CLASSIFICATION, MULTILABEL, REGRESSION)
        or masks is not None,
        "pictures": found.pictures,
        "cells": found.cells,
    }


def _comparison_values(runs: Sequence[RunFacts], charts: list[Chart]) -> dict[str, Any]:
    """What the template of several runs shows."""
    curves = _number(compare_curves(runs), charts)
    headings, rows = result_table(runs)
    pairs = compare_pairs(runs)
    return {
        "title": f"{len(runs)} runs",
        "runs": [shorten(run.name) for run in runs],
        "headings": headings,
        "results": rows,
        "curves": curves,
        "differences": config_differences(runs),
        "pairs": pairs,
        "is_regression": any(run.task == REGRESSION for run in runs),
        "problems": [
            (shorten(run.name), printable(run.problem)) for run in runs if run.problem
        ],
        "versions": _pairs(runs[0].versions),
        "pictures": {},
        "cells": {},
    }


def _number(new: Sequence[Chart], charts: list[Chart]) -> list[tuple[int, Chart]]:
    """Adds charts to those of the page, and returns them with their numbers."""
    begin = len(charts)
    charts += new
    return list(enumerate(new, begin))


def _describe_run(facts: RunFacts) -> list[tuple[str, str]]:
    """The facts at the top of the report."""
    options = ", ".join(f"{name} {value}" for name, value in facts.options.items())
    shape = " x ".join(map(str, facts.image_shape))
    splits = ", ".join(f"{count:,} {name}" for name, count in facts.examples.items())
    step, epochs = last_step(facts.records), last_epoch(facts.records)
    what = "classes"
    if facts.task == REGRESSION:
        what = "output" if facts.num_classes == 1 else "outputs"
    rows = [
        ("model", f"{facts.model} ({options})" if options else facts.model),
        ("parameters", value_text(facts.parameters)),
        ("data", facts.source),
        ("examples", splits or "unknown"),
        ("images", f"{shape}, {facts.num_classes:,} {what}"),
        ("trained", f"{epochs:.4g} epochs, {step:,} steps"),
        ("time", duration_text(total_seconds(facts.records))),
        ("best step", _best(facts)),
    ]
    if facts.step is not None:
        rows.append(("evaluated", f"test split, state of step {facts.step:,}"))
    if not is_finished(facts.records):
        rows.append(("state", "not finished: the run can be resumed"))
    return [(name, shorten(text, LONGEST_VALUE)) for name, text in rows]


def _best(facts: RunFacts) -> str:
    if facts.best_step is None:
        return "no validation yet"
    return f"{facts.best_step:,} (by validation {facts.monitor})"


def _setting(setting: Any) -> tuple[str, str, str]:
    name, value, default, _ = setting
    return shorten(name), shorten(value, LONGEST_VALUE), shorten(default, LONGEST_VALUE)


def _pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [(shorten(k), shorten(v, LONGEST_VALUE)) for k, v in values.items()]
    return found[:MOST_VALUES]


def _commands(facts: RunFacts) -> list[tuple[str, str]]:
    """Commands to use or continue the run."""
    folder = shlex.quote(facts.workdir)
    found = [
        ("Resume training", f"cnnjax train --config=FILE.py --workdir={folder}"),
        ("Predict", f"cnnjax predict --workdir={folder} IMAGE"),
        ("Evaluate", f"cnnjax evaluate --workdir={folder} --report"),
        ("Export", f"cnnjax export --workdir={folder} --format=onnx"),
        ("Regenerate this report", f"cnnjax report {folder}"),
    ]
    return [(name, printable(command)) for name, command in found]


def render(name: str, values: Mapping[str, Any], charts: Sequence[Chart]) -> str:
    """A template filled with values, as one file with its style and script.

    Args:
        name: of the template.
        values: what it shows; ``pictures`` and ``cells`` are for the script.
        charts: for the script.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = f"\n{(TEMPLATES / 'report.js').read_text('utf-8')}"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    data = {
        "charts": [chart.hover for chart in charts],
        "pictures": values["pictures"],
        "cells": values["cells"],
    }
    return environment.get_template(name).render(
        **values,
        data=data,
        script=Markup(script),
        script_digest=digest,
        style=Markup((TEMPLATES / "style.css").read_text("utf-8")),
    )
