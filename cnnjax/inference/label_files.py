"""What ``cnnjax inspect --labels`` prints and writes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.data.tasks import CLASSIFICATION, classes_of
from cnnjax.files import write_whole
from cnnjax.inference.predictions import predicted_text
from cnnjax.inference.trained_model import TrainedModel
from cnnjax.inference.wrong_labels import RankedLabels, rank_labels
from cnnjax.metrics import probabilities
from cnnjax.report.inputs_sheet import label_text, shown_names
from cnnjax.report.pictures import describe, draw, find_scale
from cnnjax.report.sheet import Part, as_png, draw_sheet
from cnnjax.report.table_file import write_table
from cnnjax.streams import printable
from cnnjax.train.run.evaluate_run import read_dataset

TABLE, SHEET = "labels.csv", "labels.png"
DRAWN = 32
"""Examples that are drawn."""
RANKED = {"loss": "the loss", "gradient": "the norm of the gradient of the loss"}
LISTED = 5
"""Examples that the terminal shows."""


def inspect_labels(trained: TrainedModel, folder: Path, by: str) -> list[str]:
    """Ranks the training examples, and writes the list and a sheet of the first.

    Args:
        trained: the model of a run whose data is still there.
        folder: where the files go; it is created.
        by: what they are ranked by, ``"loss"`` or ``"gradient"``.

    Returns:
        Lines for the terminal.

    Raises:
        ConfigError: a segmentation, or other data than the run was trained with.
        DataError: data that cannot be read.
        OSError: the files cannot be written.
    """
    dataset = read_dataset(trained.folder, "train")
    split, files = dataset.train, dataset.files.get("train")
    ranked = rank_labels(trained, split, by)
    rows = _rows(ranked, split.labels[ranked.numbers], files, trained)
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / TABLE, [_HEAD, *rows])
    images = split.images[ranked.numbers[:DRAWN]]
    labels = split.labels[ranked.numbers[:DRAWN]]
    sheet = _draw(ranked, images, labels, trained, by)
    write_whole(folder / SHEET, as_png(sheet))
    lines = [_describe_agreement(ranked, split.labels[ranked.numbers], trained)]
    for rank, number, file, label, predicted, _, loss, norm in rows[:LISTED]:
        name = f"example {number}" + (f" ({printable(file)})" if file else "")
        lines.append(
            f"  {rank}. {name}: label {printable(str(label))}, predicted"
            f" {printable(predicted)}, loss {loss:.4g}, gradient norm {norm:.4g}"
        )
    return [
        *lines,
        _describe_noise(ranked),
        f"written to {printable(str(folder))}: {TABLE}, {SHEET}",
    ]


_HEAD = ["rank", "example", "file", "label", "predicted", "probability", "loss"]
_HEAD += ["gradient_norm"]


def _rows(
    ranked: RankedLabels, labels: np.ndarray, files: Any, trained: TrainedModel
) -> list[list[Any]]:
    """One row per example; the probability is that of the predicted class."""
    described = trained.description
    names, task = described.names, described.task
    rows: list[list[Any]] = []
    for index, number in enumerate(ranked.numbers.tolist()):
        logits = ranked.logits[index]
        predicted, share = _predicted(logits, trained, names)
        rows.append(
            [
                index + 1,
                number,
                "" if files is None else files[number],
                label_text(labels[index], names, task),
                predicted,
                share,
                float(ranked.losses[index]),
                float(ranked.gradient_norms[index]),
            ]
        )
    return rows


def _predicted(
    logits: np.ndarray, trained: TrainedModel, names: Sequence[str]
) -> tuple[str, float | str]:
    """The predicted class with its probability; another prediction as one text."""
    described = trained.description
    if described.task != CLASSIFICATION:
        return predicted_text(logits, described, names), ""
    shares = probabilities(logits[None], described.is_sigmoid)[0]
    return names[int(shares.argmax())], float(shares.max())


def _draw(
    ranked: RankedLabels,
    images: Any,
    labels: np.ndarray,
    trained: TrainedModel,
    by: str,
) -> Any:
    described = trained.description
    names = shown_names(described.class_names, described.num_classes, described.task)
    scale = find_scale([images], images.dtype)
    captions = []
    for index, label in enumerate(labels):
        predicted, share = _predicted(ranked.logits[index], trained, names)
        loss = f"loss {ranked.losses[index]:.3g}"
        captions.append(
            [
                f"{index + 1}. example {ranked.numbers[index]}",
                f"label: {label_text(label, names, described.task)}",
                f"network: {predicted}",
                f"{share:.0%}, {loss}" if isinstance(share, float) else loss,
            ]
        )
    heading = f"The first {len(captions)} of {len(ranked.numbers):,}"
    part = Part(heading, "", [draw(image, scale) for image in images], captions)
    text = f"Ranked by {RANKED[by]}, from left to right and from top to bottom."
    text = " ".join([text, *describe(images.shape[1:])])
    title = f"Labels to check in the training split of {printable(trained.folder.name)}"
    return draw_sheet(title, text, [part])


def _describe_agreement(
    ranked: RankedLabels, labels: np.ndarray, trained: TrainedModel
) -> str:
    """The line above the first examples."""
    count, task = len(labels), trained.description.task
    if task != CLASSIFICATION:
        return f"the most doubtful labels of {count:,} training examples:"
    others = int((ranked.logits.argmax(-1) != classes_of(labels)).sum())
    return (
        f"of {count:,} training examples, the network predicts another class than the"
        f" label for {others:,}; the most doubtful labels:"
    )


def _describe_noise(ranked: RankedLabels) -> str:
    """The noise scale as a hint about the batch size."""
    if ranked.noise_scale is None:
        return "gradient noise scale: too few examples to tell"
    return (
        f"gradient noise scale of these weights: {ranked.noise_scale:,.0f} examples;"
        " with batches far smaller than that, the gradient is mostly noise, and far"
        " larger batches save few steps"
    )
