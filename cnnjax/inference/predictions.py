"""What a model says about an image, by the kind of its labels."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnjax.data.tasks import MULTILABEL, REGRESSION, SEGMENTATION
from cnnjax.metrics import probabilities
from cnnjax.train.run.model_file import ModelFile


class Prediction(NamedTuple):
    """What the model says about one image.

    Attributes:
        label: the number of the most probable class.
        name: of that class; its number as text where the data had no names.
        probability: of that class.
        top: the most probable classes with their probabilities, best first.
    """

    label: int
    name: str
    probability: float
    top: tuple[tuple[str, float], ...]


class ClassSet(NamedTuple):
    """The prediction of a multi-label model for one image.

    Attributes:
        labels: the numbers of the classes with a probability above 1/2.
        names: the names of these classes.
        top: the most probable classes with their probabilities, best first.
    """

    labels: tuple[int, ...]
    names: tuple[str, ...]
    top: tuple[tuple[str, float], ...]


class Estimate(NamedTuple):
    """The prediction of a regression model for one image.

    Attributes:
        values: the predicted numbers by name, in the unit of the labels.
    """

    values: Mapping[str, float]


class LabelMap(NamedTuple):
    """The prediction of a segmentation model for one image.

    Attributes:
        labels: the number of the most probable class of each pixel ``(*spatial)``.
        shares: by name of each class that occurs, the fraction of the pixels that
            belong to it, the most frequent first.
    """

    labels: np.ndarray
    shares: Mapping[str, float]


def make_predictions(logits: np.ndarray, model: ModelFile, k: int) -> list[Any]:
    """Predictions from the outputs ``(n, num_classes)`` of a model, one per image.

    Args:
        logits: float32.
        model: what the outputs mean.
        k: how many classes ``top`` holds.
    """
    names = model.names
    if model.task == REGRESSION:
        rows = logits.tolist()
        return [Estimate(dict(zip(names, row, strict=True))) for row in rows]
    if model.task == SEGMENTATION:
        return [_make_map(labels, names) for labels in logits.argmax(axis=-1)]
    shares = probabilities(logits, model.is_sigmoid)
    order = np.argsort(-shares, axis=-1, kind="stable")[:, :k]
    values = np.take_along_axis(shares, order, axis=-1)
    predictions: list[Any] = []
    for labels, row in zip(order.tolist(), values.tolist(), strict=True):
        top = tuple(zip((names[label] for label in labels), row, strict=True))
        predictions.append(Prediction(labels[0], *top[0], top))
    if model.task != MULTILABEL:
        return predictions
    for number, row in enumerate(logits > 0):
        labels = tuple(np.flatnonzero(row).tolist())
        likely = tuple(names[label] for label in labels)
        predictions[number] = ClassSet(labels, likely, predictions[number].top)
    return predictions


def predicted_text(logits: np.ndarray, model: ModelFile, names: Sequence[str]) -> str:
    """A prediction in a few words, such as ``"cat 98%"``, for a caption.

    Args:
        logits: of one image.
        model: what they mean.
        names: to show for the classes.
    """
    if model.task == REGRESSION:
        values = zip(names, logits.tolist(), strict=True)
        return ", ".join(f"{name} {value:.4g}" for name, value in values)
    if model.task == SEGMENTATION:
        found: list[int] = np.unique(logits.argmax(axis=-1)).tolist()
        return ", ".join(names[number] for number in found)
    shares = probabilities(logits[None], model.is_sigmoid)[0]
    best = [int(shares.argmax())]
    if model.task == MULTILABEL:
        best = np.flatnonzero(logits > 0).tolist()
    texts = [f"{names[n]} {shares[n]:.0%}" for n in best]
    return ", ".join(texts) or "none"


def _make_map(labels: np.ndarray, names: Sequence[str]) -> LabelMap:
    counts = np.bincount(labels.ravel(), minlength=len(names)).tolist()
    order = sorted(range(len(names)), key=lambda number: -counts[number])
    shares = {names[n]: counts[n] / labels.size for n in order if counts[n]}
    return LabelMap(labels.astype(np.int32), shares)
