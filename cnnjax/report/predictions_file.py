"""A file with what a model says about each example of a split."""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.data.tasks import MULTILABEL, REGRESSION, is_known
from cnnjax.files import write_whole
from cnnjax.metrics import Outputs


def write_predictions(
    path: str,
    outputs: Outputs,
    class_names: Sequence[str] | None,
    files: Sequence[str] | np.ndarray | None = None,
) -> None:
    """Writes one row per example, in the order of the split.

    Args:
        path: ends with ``.csv`` or ``.parquet``.
        outputs: of the model.
        class_names: one per class; ``None`` writes numbers of classes.
        files: the name of the image file of each example; ``None`` without files.

    Raises:
        OSError: the file cannot be written.
    """
    columns = _columns(outputs, class_names, files)
    if path.endswith(".csv"):
        write_whole(Path(path), _csv(columns))
    else:
        write_whole(Path(path), _parquet(columns))


def _columns(
    outputs: Outputs,
    class_names: Sequence[str] | None,
    files: Sequence[str] | np.ndarray | None,
) -> dict[str, np.ndarray]:
    shown = class_names or range(outputs.logits.shape[-1])
    columns = {"index": np.arange(len(outputs.labels))}
    if files is not None:
        columns["file"] = np.array([*map(_text, files)])
    known = is_known(outputs.labels)
    losses = np.where(known, outputs.losses.astype(np.float64), np.nan)
    if outputs.task == REGRESSION:
        named = _by_name("label", outputs.labels, shown)
        predicted = _by_name("prediction", outputs.predictions, shown)
        return columns | named | predicted | {"loss": losses}
    shares = _by_name("probability", outputs.probabilities, shown)
    if outputs.task == MULTILABEL:
        named = _by_name("label", outputs.labels, shown)
        predicted = _by_name("prediction", outputs.predictions.astype(np.int8), shown)
        return columns | named | predicted | {"loss": losses} | shares
    labels, predictions = outputs.classes, outputs.predictions
    if class_names is not None:
        names = np.array([*class_names, ""], object)  # the last one is that of -1
        labels, predictions = names[labels], names[predictions]
    columns |= {
        "label": labels,
        "prediction": predictions,
        "probability": outputs.confidences,
        "loss": losses,
    }
    return columns | shares


def _by_name(
    what: str, values: np.ndarray, names: Iterable[Any]
) -> dict[str, np.ndarray]:
    return {f"{what}_{name}": values[:, i] for i, name in enumerate(names)}


def _text(name: str) -> str:
    r"""A name in UTF-8; bytes of a path that are not are shown as ``\xff``."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _csv(columns: dict[str, np.ndarray]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(x.tolist() for x in columns.values()), strict=True))
    return file.getvalue()


def _parquet(columns: dict[str, np.ndarray]) -> bytes:
    import pyarrow  # takes a moment to load
    from pyarrow import parquet

    file: Any = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()
