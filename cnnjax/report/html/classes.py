"""Which classes are recognized, which are confused, and how sure the model is."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cnnjax.data.tasks import MULTILABEL
from cnnjax.metrics import Outputs, confusion_matrix, score_classes
from cnnjax.metrics.per_class import one_against_rest
from cnnjax.metrics.whole_split import BINS, calibration_error
from cnnjax.report.html.charts import Chart, Series, make_chart
from cnnjax.report.html.numbers import percent

MOST_CLASSES = 40
"""With more, the most confused pairs stand in for the confusion matrix."""
MOST_PAIRS = 30
MOST_ROWS = 1000
"""Of the table of classes; those with the lowest F1 are shown."""


class Cell(NamedTuple):
    """One cell of a confusion matrix.

    Attributes:
        truth: number of the class.
        prediction: number of the class.
        count: how many examples there are.
        share: of the examples of ``truth``.
        color: a number from 0, nothing, to 9.
    """

    truth: int
    prediction: int
    count: int
    share: float
    color: int

    @property
    def name(self) -> str:
        """A name for the page's script."""
        return f"{self.truth}-{self.prediction}"

    @property
    def is_right(self) -> bool:
        """Whether it is on the diagonal."""
        return self.truth == self.prediction


class ClassRow(NamedTuple):
    """The scores of one class, as values to sort by and as texts."""

    name: str
    values: Sequence[float]
    texts: Sequence[str]


class Calibration(NamedTuple):
    """How often predictions of some probability are right.

    Attributes:
        error: the expected calibration error.
        chart: of the share that is right by the probability of the prediction.
        counts: a chart of how many predictions have which probability.
    """

    error: float
    chart: Chart
    counts: Chart


def confusion_rows(matrix: np.ndarray) -> list[list[Cell]]:
    """The confusion matrix as rows of cells, for up to ``MOST_CLASSES`` classes."""
    return [
        [_cell(matrix, truth, prediction) for prediction in range(len(matrix))]
        for truth in range(len(matrix))
    ]


def confused_pairs(matrix: np.ndarray) -> list[Cell]:
    """The pairs of classes that are confused most often, the worst first."""
    wrong = matrix * ~np.eye(len(matrix), dtype=bool)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_PAIRS]
    places = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [_cell(matrix, int(i), int(j)) for i, j in places if wrong[i, j]]


def count_confusions(outputs: Outputs) -> np.ndarray:
    """How many examples of each class (rows) are taken for each class (columns)."""
    return confusion_matrix(outputs)


def class_table(
    outputs: Outputs, names: Sequence[str]
) -> tuple[list[str], list[ClassRow]]:
    """The headings and the rows of the table of classes.

    Args:
        outputs: for examples with a label.
        names: one per class.
    """
    headings = ["class", "precision", "recall", "F1", "support"]
    scores = [list(score) for score in score_classes(outputs)]
    if outputs.task == MULTILABEL:
        headings.insert(4, "average precision")
        for number, score in enumerate(scores):
            score.insert(3, _average_precision(outputs, number))
    rows = [
        ClassRow(
            name,
            [-1 if math.isnan(value) else round(value, 6) for value in score],
            [*map(percent, score[:-1]), f"{int(score[-1]):,}"],
        )
        for name, score in zip(names, scores, strict=True)
    ]
    if len(rows) > MOST_ROWS:
        rows = sorted(rows, key=lambda row: row.values[2])[:MOST_ROWS]
    return headings, rows


def make_calibration(outputs: Outputs) -> Calibration | None:
    """How well the probabilities of predictions match how often they are right.

    ``None`` if a probability is not finite.

    Args:
        outputs: of a classifier, for examples with a label.
    """
    error = calibration_error(outputs)
    if math.isnan(error):
        return None
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], outputs.confidences)
    counts = np.bincount(bins, minlength=BINS)
    right = np.bincount(bins, outputs.predictions == outputs.classes, BINS)
    with np.errstate(invalid="ignore"):
        shares = right / counts
    middles = ((np.arange(BINS) + 0.5) / BINS).tolist()
    bars = Series("accuracy", middles, shares.tolist(), 0, "bars")
    diagonal = Series("perfect calibration", [0, 1], [0, 1], 7, "dashed")
    name = "probability of the predicted class"
    chart = make_chart(
        "accuracy by predicted probability",
        [bars, diagonal],
        x_name=name,
        x_range=(0, 1),
        y_range=(0, 1),
        as_percent=True,
    )
    amounts = Series("examples", middles, counts.tolist(), 1, "bars")
    histogram = make_chart(
        "examples by predicted probability",
        [amounts],
        x_name=name,
        x_range=(0, 1),
        y_range=(0, 1.05 * float(counts.max())),
    )
    assert chart and histogram
    return Calibration(error, chart, histogram)


def _cell(matrix: np.ndarray, truth: int, prediction: int) -> Cell:
    count, support = int(matrix[truth, prediction]), int(matrix[truth].sum())
    share = count / support if support else 0.0
    # Errors are rare: their colors grow with the root of their share.
    strength = share if truth == prediction else math.sqrt(share)
    color = min(max(round(9 * strength), 1), 9) if count else 0
    return Cell(truth, prediction, count, share, color)


def _average_precision(outputs: Outputs, number: int) -> float:
    from sklearn.metrics import average_precision_score

    is_positive, _, shares = one_against_rest(outputs, number)
    if not is_positive.any() or not np.isfinite(shares).all():
        return math.nan
    return float(average_precision_score(is_positive, shares))
