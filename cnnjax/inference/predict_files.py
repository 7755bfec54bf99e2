"""Predictions for files, as a table for people or as JSON or CSV for programs."""

import csv
import io
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnjax import progress
from cnnjax.errors import DataError
from cnnjax.files import write_whole
from cnnjax.inference.export import ExportedModel
from cnnjax.inference.images import as_images
from cnnjax.inference.inputs import Item, find_items
from cnnjax.inference.mask_files import check_masks, write_masks
from cnnjax.inference.predictions import ClassSet, Estimate, LabelMap, Prediction
from cnnjax.inference.trained_model import TrainedModel, batch_sizes
from cnnjax.streams import printable, warn


class Row(NamedTuple):
    """One input and what the model says about it."""

    name: str
    prediction: Prediction | ClassSet | Estimate | LabelMap


def predict_files(
    trained: TrainedModel | ExportedModel,
    inputs: Sequence[str],
    *,
    top: int,
    form: str,
    output: str | None,
    masks: str | None = None,
) -> int:
    """Predicts, and prints or writes the result.

    Args:
        trained: the model.
        inputs: see ``find_items``.
        top: how many classes are shown.
        form: ``"table"``, ``"json"``, ``"jsonl"`` or ``"csv"``.
        output: a file to write instead of printing.
        masks: a folder for a PNG file of each image's label map.

    Returns:
        How many inputs were skipped, each with a warning.

    Raises:
        ConfigError: an input that names nothing, or masks of a model that has none.
        OSError: an output that cannot be written.
    """
    items, size = find_items(inputs), batch_sizes(trained.description)[-1]
    if masks is not None:
        check_masks(masks, items, trained.description)
    rows: list[Row] = []
    for start in range(0, len(items), size):
        progress.tell("predicting", start, len(items))
        found = _predict(trained, items[start : start + size], top)
        if masks is not None:
            write_masks(masks, [(row.name, row.prediction) for row in found])
        # Maps are as large as images; only what is shown is kept.
        rows += [_without_map(row) for row in found]
    progress.tell("predicting", len(items), len(items))
    text = "".join(FORMATS[form](rows))
    if output:
        write_whole(Path(output), text)
    else:
        sys.stdout.write(text)
    if len(rows) < len(items):
        warn(f"{len(items) - len(rows)} of {len(items)} images were skipped")
    return len(items) - len(rows)


def _predict(
    trained: TrainedModel | ExportedModel, items: Sequence[Item], top: int
) -> list[Row]:
    """The predictions for those items that can be read; the others are warned of."""
    names, images = [], []
    for item in items:
        try:
            image, _ = as_images(item.image, trained.description)
        except DataError as error:
            prefix = "" if isinstance(item.image, Path) else f"{item.name}: "
            warn(f"{prefix}{error}; skipped")
            continue
        names.append(item.name)
        images.append(image)
    if not images:
        return []
    found = trained.predict(np.concatenate(images), top)
    return [Row(*pair) for pair in zip(names, found, strict=True)]


def _without_map(row: Row) -> Row:
    if not isinstance(row.prediction, LabelMap):
        return row
    small = row.prediction._replace(labels=np.zeros(0, np.int32))
    return row._replace(prediction=small)


def _table(rows: Sequence[Row]) -> Iterator[str]:
    """One line per input, in columns; shortened to the width of the terminal."""
    cells = [[printable(row.name), *_cells(row.prediction)] for row in rows]
    if not cells:
        return
    longest = max(map(len, cells))  # an image need not have every class
    cells = [line + [""] * (longest - len(line)) for line in cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    limit = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in cells:
        padded = "  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True))
        yield padded.rstrip()[:limit] + "\n"


def _cells(prediction: Prediction | ClassSet | Estimate | LabelMap) -> list[str]:
    if isinstance(prediction, LabelMap):
        return [f"{printable(k)} {v:.1%}" for k, v in prediction.shares.items()]
    if isinstance(prediction, Estimate):
        return [f"{printable(k)} {v:.6g}" for k, v in prediction.values.items()]
    top = [f"{printable(name)} {share:.1%}" for name, share in prediction.top]
    if isinstance(prediction, Prediction):
        return top
    return [", ".join(map(printable, prediction.names)) or "none", *top]


def _record(row: Row) -> dict[str, Any]:
    prediction = row.prediction
    if isinstance(prediction, Estimate):
        return {"input": row.name, "values": dict(prediction.values)}
    if isinstance(prediction, LabelMap):
        shares = prediction.shares.items()
        pairs = [{"class": name, "share": share} for name, share in shares]
        return {"input": row.name, "shares": pairs}
    top = [{"class": name, "probability": share} for name, share in prediction.top]
    if isinstance(prediction, ClassSet):
        return {"input": row.name, "classes": list(prediction.names), "top": top}
    return {
        "input": row.name,
        "class": prediction.name,
        "probability": prediction.probability,
        "top": top,
    }


def _json(rows: Sequence[Row]) -> Iterator[str]:
    yield json.dumps([_record(row) for row in rows], indent=2) + "\n"


def _jsonl(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(_record(row)) + "\n"


def _csv(rows: Sequence[Row]) -> Iterator[str]:
    """A header, and one line per input: the best classes in order, or the numbers."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    head: list[str] = ["input"]
    if rows and isinstance(rows[0].prediction, ClassSet):
        head.append("classes")
    for number, row in enumerate(rows):
        prediction = row.prediction
        cells: list[Any] = [row.name]
        if isinstance(prediction, Estimate):
            cells += prediction.values.values()
            titles = [*prediction.values]
        elif isinstance(prediction, LabelMap):
            titles = _classes(rows)
            cells += [prediction.shares.get(name, 0.0) for name in titles]
        else:
            if isinstance(prediction, ClassSet):
                cells.append("|".join(prediction.names))
            cells += [cell for pair in prediction.top for cell in pair]
            count = len(prediction.top)
            titles = [f"{w}_{i + 1}" for i in range(count) for w in ("class", "prob")]
        if not number:
            writer.writerow([*head, *titles])
        writer.writerow(cells)
    if not rows:
        writer.writerow(head)
    yield file.getvalue()


def _classes(rows: Sequence[Row]) -> list[str]:
    """The classes of all label maps, in the order in which they occur."""
    found: dict[str, None] = {}
    for row in rows:
        if isinstance(row.prediction, LabelMap):
            found |= dict.fromkeys(row.prediction.shares)
    return [*found]


FORMATS = {"table": _table, "json": _json, "jsonl": _jsonl, "csv": _csv}
