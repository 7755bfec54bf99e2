"""Which examples of a test split a report shows, and what it says about each."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnjax.data.tasks import CLASSIFICATION, MULTILABEL, REGRESSION, is_known
from cnnjax.metrics import Outputs
from cnnjax.report.html.facts import Predicted, shorten
from cnnjax.report.html.numbers import percent, short

MOST_MISTAKES, MOST_UNCERTAIN = 24, 12
MOST_IN_CELLS = 400
"""Pictures for all cells of the confusion matrix together."""
MOST_IN_CELL = 12
LONGEST_FILE = 80
MOST_LABELS = 4
"""Classes or numbers of one example that its caption names."""


class Caption(NamedTuple):
    """What is said about an example.

    Attributes:
        truth: its label.
        prediction: what is predicted.
        detail: the probability of the prediction, or the loss.
        file: the name of its file, or its number in the split.
    """

    truth: str
    prediction: str
    detail: str
    file: str


class Gallery(NamedTuple):
    """Examples under a heading; ``none`` says what it means that there are none."""

    title: str
    text: str
    numbers: Sequence[int]
    none: str


def choose_galleries(outputs: Outputs) -> list[Gallery]:
    """The worst predictions, and for classes also the least certain correct ones."""
    known = np.flatnonzero(is_known(outputs.labels))
    if outputs.task == REGRESSION:
        worst = _first(known, -outputs.losses[known], MOST_MISTAKES)
        text = "The test examples with the largest loss."
        return [Gallery("Worst predictions", text, worst, "")]
    right, certainty = _certainty(outputs)
    with np.errstate(invalid="ignore"):
        wrong, hits = known[~right[known]], known[right[known]]
    order = -certainty[wrong]
    text = "Wrong predictions, most confident first."
    if outputs.task == MULTILABEL:
        order = -outputs.losses[wrong]
        text = "Examples with at least one wrong class, largest loss first."
    return [
        Gallery(
            "Most confident mistakes",
            text,
            _first(wrong, order, MOST_MISTAKES),
            "There are no mistakes.",
        ),
        Gallery(
            "Least certain correct predictions",
            "Correct predictions, least confident first.",
            _first(hits, certainty[hits], MOST_UNCERTAIN),
            "No prediction is correct.",
        ),
    ]


def choose_for_cells(
    outputs: Outputs, cells: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], list[int]]:
    """Examples for cells of the confusion matrix: one for each, then a second one, ...

    Args:
        outputs: of a classifier.
        cells: pairs of a true and a predicted class; the first ones get more examples
            if not all of them fit.
    """
    truths, guesses = outputs.classes, outputs.predictions
    order = np.argsort(-outputs.confidences, kind="stable")
    waiting: dict[tuple[int, int], list[int]] = {cell: [] for cell in cells}
    for number in order.tolist():
        found = waiting.get((int(truths[number]), int(guesses[number])))
        if found is not None and len(found) < MOST_IN_CELL:
            found.append(number)
    chosen: dict[tuple[int, int], list[int]] = {cell: [] for cell in cells}
    left = MOST_IN_CELLS
    for turn in range(MOST_IN_CELL):
        for cell, numbers in waiting.items():
            if turn < len(numbers) and left:
                chosen[cell].append(numbers[turn])
                left -= 1
    return chosen


def describe_example(
    predicted: Predicted, names: Sequence[str], number: int
) -> Caption:
    """What to say about the example ``number`` of the split."""
    outputs = predicted.outputs
    file = f"example {number}"
    if predicted.files is not None:
        file = _shorten_file(str(predicted.files[number]))
    label = outputs.labels[number]
    if outputs.task == CLASSIFICATION:
        truth, guess = int(outputs.classes[number]), int(outputs.predictions[number])
        shown = percent(float(outputs.confidences[number]))
        return Caption(names[truth], names[guess], shown, file)
    loss = f"loss {outputs.losses[number]:.3g}"
    if outputs.task == REGRESSION:
        truth = _numbers(names, label)
        return Caption(truth, _numbers(names, outputs.logits[number]), loss, file)
    shares = outputs.probabilities[number]
    guessed = np.flatnonzero(outputs.predictions[number])
    texts = [f"{names[i]} {shares[i]:.0%}" for i in guessed.tolist()]
    truths = [names[i] for i in np.flatnonzero(label > 0.5).tolist()]
    return Caption(_list(truths), _list(texts), loss, file)


def _certainty(outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
    """Whether each prediction is right, and how sure the model is of it."""
    if outputs.task == MULTILABEL:
        labels, shares = outputs.labels, outputs.probabilities
        unknown = labels < 0
        right = ((labels > 0.5) == outputs.predictions) | unknown
        sure = np.where(unknown, np.inf, np.maximum(shares, 1 - shares))
        return right.all(-1), sure.min(-1)
    return outputs.predictions == outputs.classes, outputs.confidences


def _first(numbers: np.ndarray, order: Any, count: int) -> list[int]:
    return numbers[np.argsort(order, kind="stable")[:count]].tolist()


def _numbers(names: Sequence[str], values: np.ndarray) -> str:
    if len(values) == 1:
        return short(float(f"{values[0]:.4g}"))
    pairs = zip(names, values.tolist(), strict=True)
    return _list([f"{name} {value:.3g}" for name, value in pairs])


def _list(texts: Sequence[str]) -> str:
    shown = [*texts[:MOST_LABELS]]
    if len(texts) > MOST_LABELS:
        shown.append(f"{len(texts) - MOST_LABELS} more")
    return ", ".join(shown) or "none"


def _shorten_file(name: str) -> str:
    """The end of a name tells more than its start."""
    shown = shorten(name, 10_000)
    return shown if len(shown) <= LONGEST_FILE else f"…{shown[1 - LONGEST_FILE :]}"
