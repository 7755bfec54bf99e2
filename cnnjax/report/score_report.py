"""A score with all its details: a table on a terminal, plain text elsewhere."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TextIO

import numpy as np

from cnnjax.data.tasks import CLASSIFICATION, REGRESSION
from cnnjax.metrics import (
    METRICS,
    Outputs,
    confusion_matrix,
    score_classes,
    score_pixels,
)
from cnnjax.streams import printable

MOST_CLASSES = 20
"""With more, the confusion matrix would be too wide to read."""


class Section(NamedTuple):
    """A table of texts under a title; its first row is the header."""

    title: str
    rows: Sequence[Sequence[str]]


def print_report(
    scores: Mapping[str, Mapping[str, float]],
    outputs: Outputs | np.ndarray,
    class_names: Sequence[str] | None,
    stream: TextIO,
) -> None:
    """Prints the score, the scores of each class, and which are taken for which.

    Args:
        scores: the records of ``Score``, by titles that say what was scored.
        outputs: that the first score was computed from; for label maps, the confusion
            matrix of the pixels ``(classes, classes)``.
        class_names: one per class; ``None`` shows their numbers.
        stream: where.
    """
    table = outputs if isinstance(outputs, np.ndarray) else outputs.logits
    names = class_names or [str(i) for i in range(table.shape[-1])]
    names = [printable(name) for name in names]
    sections = [_summary(printable(title), x) for title, x in scores.items()]
    if isinstance(outputs, np.ndarray):
        sections.append(_pixels(names, outputs))
        matrix = outputs
    elif outputs.task == REGRESSION:
        sections.append(_errors(names, outputs))
        matrix = None
    else:
        known = outputs.known()
        sections.append(_classes(names, known))
        one_class = outputs.task == CLASSIFICATION
        matrix = confusion_matrix(known) if one_class else None
    if matrix is not None and len(names) <= MOST_CLASSES:
        sections.append(_confusion(names, matrix))
    for number, section in enumerate(sections):
        if number:
            print(file=stream)
        print(section.title, file=stream)
        if not (stream.isatty() and _print_table(section.rows, stream)):
            for line in _lines(section.rows):
                print(line, file=stream)


def _summary(title: str, score: Mapping[str, float]) -> Section:
    names = sorted(score, key=lambda name: name != "accuracy")  # it comes first
    rows = [[name, _number(score[name])] for name in names if name != "examples"]
    return Section(title, [["metric", "value"], *rows])


def _classes(names: Sequence[str], outputs: Outputs) -> Section:
    head = ["class", "precision", "recall", "F1", "support"]
    rows = [
        [name, *map(_number, score[:3]), f"{score.support:,}"]
        for name, score in zip(names, score_classes(outputs), strict=True)
    ]
    return Section("each class", [head, *rows])


def _pixels(names: Sequence[str], confusion: np.ndarray) -> Section:
    head = ["class", "IoU", "precision", "recall", "F1", "pixels"]
    rows = [
        [name, *map(_number, score[:4]), f"{score.support:,}"]
        for name, score in zip(names, score_pixels(confusion), strict=True)
    ]
    return Section("each class", [head, *rows])


def _errors(names: Sequence[str], outputs: Outputs) -> Section:
    """The errors of each number that a regression predicts."""
    head, rows = ["output", "MAE", "RMSE", "R2"], []
    for column, name in enumerate(names):
        chosen = slice(column, column + 1)
        logits, labels = outputs.logits[:, chosen], outputs.labels[:, chosen]
        one = replace(outputs, logits=logits, labels=labels)
        mean = float(np.abs(logits.astype(np.float64) - labels).mean())
        others = [METRICS[metric].function(one) for metric in ("rmse", "r2")]
        rows.append([name, *map(_number, [mean, *others])])
    return Section("each output", [head, *rows])


def _confusion(names: Sequence[str], matrix: np.ndarray) -> Section:
    pairs = zip(names, matrix.tolist(), strict=True)
    rows = [[name, *map(str, row)] for name, row in pairs]
    title = "confusion matrix: a row per class, a column per prediction"
    return Section(title, [["", *names], *rows])


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [text.rjust(w) for text, w in zip(others, widths[1:], strict=True)]
        yield "  ".join(cells).rstrip()


def _print_table(rows: Sequence[Sequence[str]], stream: TextIO) -> bool:
    """Prints a table with a line below its header; not if it is too wide."""
    from rich import box
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    table = Table(box=box.SIMPLE_HEAD)
    for number, text in enumerate(rows[0]):
        table.add_column(Text(text), justify="right" if number else "left")
    for row in rows[1:]:
        table.add_row(*map(Text, row))
    needed = Measurement.get(console, console.options.update(max_width=10_000), table)
    if needed.maximum > console.width:
        return False
    console.print(table)
    return True
