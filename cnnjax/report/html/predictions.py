"""What a report shows of a model's predictions for the test split."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnjax.data.tasks import CLASSIFICATION, MULTILABEL, REGRESSION
from cnnjax.errors import DataError
from cnnjax.metrics import Outputs
from cnnjax.report.html.charts import Chart
from cnnjax.report.html.classes import (
    MOST_CLASSES,
    Calibration,
    Cell,
    ClassRow,
    class_table,
    confused_pairs,
    confusion_rows,
    count_confusions,
    make_calibration,
)
from cnnjax.report.html.examples import (
    Caption,
    choose_for_cells,
    choose_galleries,
    describe_example,
)
from cnnjax.report.html.facts import Doubtful, Predicted, RunFacts
from cnnjax.report.html.numbers import value_text
from cnnjax.report.html.regression import output_table, regression_charts
from cnnjax.report.html.thumbnails import MOST_CHARACTERS, make_thumbnails
from cnnjax.streams import printable

MOST_OF_DOUBTFUL = 200_000
"""Characters of the pictures of likely wrong labels."""


class Shown(NamedTuple):
    """One example in a gallery: its number, picture (or nothing), and caption."""

    number: int
    picture: str
    caption: Caption


class ShownGallery(NamedTuple):
    """A gallery with its pictures; ``label`` is what it calls the labels."""

    title: str
    text: str
    none: str
    examples: Sequence[Shown]
    label: str = "true"


class Predictions(NamedTuple):
    """What is shown of the predictions; empty parts are left out.

    Attributes:
        names: of the classes.
        confusion: rows of the confusion matrix.
        pairs: the most confused pairs, where there are too many classes for that.
        headings: of the table of classes or outputs.
        classes: its rows.
        calibration: of the probabilities.
        scatter: charts of a regression.
        galleries: examples.
        pictures: of the cells' examples, for the page's script: by number, the picture
            (empty if a gallery has it), the probability and the file.
        cells: the numbers of the examples of each cell, for the page's script.
        no_pictures: why there are no pictures; empty if there are.
    """

    names: Sequence[str] = ()
    confusion: Sequence[Sequence[Cell]] = ()
    pairs: Sequence[Cell] = ()
    headings: Sequence[str] = ()
    classes: Sequence[ClassRow] = ()
    calibration: Calibration | None = None
    scatter: Sequence[Chart] = ()
    galleries: Sequence[ShownGallery] = ()
    pictures: Mapping[str, Sequence[str]] = {}
    cells: Mapping[str, Sequence[int]] = {}
    no_pictures: str = ""


def describe_predictions(facts: RunFacts) -> Predictions:
    """What to show of a run's predictions; nothing if there are none."""
    predicted = facts.predicted
    if predicted is None or facts.task not in (CLASSIFICATION, MULTILABEL, REGRESSION):
        return Predictions()
    names = facts.shown_names
    outputs, known = predicted.outputs, predicted.outputs.known()
    found = _tables(known, names)
    cells = [*found.pairs]
    if found.confusion:
        cells = [cell for row in found.confusion for cell in row if cell.count]
        cells.sort(key=lambda cell: (cell.is_right, -cell.count))
    chosen: dict[tuple[int, int], list[int]] = {}
    if cells:
        places = [(cell.truth, cell.prediction) for cell in cells]
        chosen = choose_for_cells(outputs, places)
    galleries = choose_galleries(outputs)
    wanted = [number for gallery in galleries for number in gallery.numbers]
    in_galleries = {*wanted}
    wanted += [number for numbers in chosen.values() for number in numbers]
    pictures, problem = _draw(predicted, wanted)
    return found._replace(
        galleries=[
            ShownGallery(
                gallery.title,
                gallery.text,
                gallery.none,
                [
                    Shown(
                        number,
                        pictures.get(number, ""),
                        describe_example(predicted, names, number),
                    )
                    for number in gallery.numbers
                ],
            )
            for gallery in galleries
        ],
        pictures=_for_script(predicted, names, chosen, pictures, in_galleries),
        cells={
            f"{truth}-{guess}": numbers for (truth, guess), numbers in chosen.items()
        },
        no_pictures=problem,
    )


def describe_doubtful(doubtful: Doubtful, names: Sequence[str]) -> ShownGallery:
    """The training examples whose labels are likely wrong."""
    predicted = doubtful.predicted
    count = len(predicted.outputs.labels)
    pictures, problem = _draw(predicted, range(count), MOST_OF_DOUBTFUL)
    part = f"the {doubtful.examples:,} training examples"
    if doubtful.looked_at < doubtful.examples:
        part = f"{doubtful.looked_at:,} of {part}, drawn at random"
    text = (
        f"The {count} examples with the largest loss, of {part}. A wrong label has a"
        " large loss, but so does an unusual image. cnnjax inspect --labels ranks all"
        " examples."
    )
    if problem:
        text += f" There are no pictures: {problem}"
    shown = []
    for i in range(count):
        caption = describe_example(predicted, names, i)
        if not caption.detail.startswith("loss"):
            loss = f"{caption.detail}, loss {predicted.outputs.losses[i]:.3g}"
            caption = caption._replace(detail=loss)
        shown.append(Shown(i, pictures.get(i, ""), caption))
    return ShownGallery("Likely wrong labels", text, "", shown, "label")


def _tables(outputs: Outputs, names: Sequence[str]) -> Predictions:
    if outputs.task == REGRESSION:
        rows = [
            ClassRow(name, values, [value_text(value) for value in values])
            for name, *values in output_table(outputs, names)
        ]
        headings = ["output", "mean absolute error", "RMSE", "R²"]
        scatter = regression_charts(outputs, names)
        return Predictions(names, headings=headings, classes=rows, scatter=scatter)
    headings, rows = class_table(outputs, names)
    found = Predictions(names, headings=headings, classes=rows)
    if outputs.task != CLASSIFICATION:
        return found
    matrix = count_confusions(outputs)
    few = len(names) <= MOST_CLASSES
    return found._replace(
        confusion=confusion_rows(matrix) if few else (),
        pairs=() if few else confused_pairs(matrix),
        calibration=make_calibration(outputs),
    )


def _draw(
    predicted: Predicted, numbers: Sequence[int], most: int = MOST_CHARACTERS
) -> tuple[dict[int, str], str]:
    """Pictures by number, and why there are none."""
    try:
        return make_thumbnails(predicted.split, numbers, most), ""
    except (DataError, OSError) as error:
        return {}, printable(error)


def _for_script(
    predicted: Predicted,
    names: Sequence[str],
    chosen: Mapping[Any, Sequence[int]],
    pictures: Mapping[int, str],
    in_galleries: set[int],
) -> dict[str, list[str]]:
    found = {}
    for number in np.unique([n for ns in chosen.values() for n in ns]).astype(int):
        number = int(number)
        caption = describe_example(predicted, names, number)
        picture = "" if number in in_galleries else pictures.get(number, "")
        found[str(number)] = [picture, caption.detail, caption.file]
    return found
