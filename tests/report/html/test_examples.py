"""Which examples are shown, and their pictures."""

import base64
import io

import numpy as np
from PIL import Image

from cnnjax.data import Split
from cnnjax.data.tasks import MULTILABEL, REGRESSION
from cnnjax.report.html import thumbnails
from cnnjax.report.html.classes import (
    confused_pairs,
    count_confusions,
    make_calibration,
)
from cnnjax.report.html.examples import (
    MOST_IN_CELL,
    choose_for_cells,
    choose_galleries,
    describe_example,
)
from tests.support.report.html import make_facts, make_outputs


def test_the_most_confident_mistakes_come_first():
    outputs = make_outputs()
    mistakes, uncertain = choose_galleries(outputs)
    right = outputs.predictions == outputs.classes
    assert not right[list(mistakes.numbers)].any()
    shares = outputs.confidences[list(mistakes.numbers)]
    assert shares[0] == outputs.confidences[~right].max()
    assert (np.diff(shares) <= 0).all()
    assert right[list(uncertain.numbers)].all()
    assert outputs.confidences[uncertain.numbers[0]] == outputs.confidences[right].min()


def test_unknown_classes_are_no_mistakes():
    outputs = make_outputs(MULTILABEL)
    mistakes, uncertain = choose_galleries(outputs)
    for gallery, are_right in ((mistakes, False), (uncertain, True)):
        for number in gallery.numbers:
            known = outputs.labels[number] >= 0
            truth = outputs.labels[number] == 1
            same = (outputs.predictions[number] == truth)[known].all()
            assert same == are_right and known.any()


def test_the_worst_numbers_come_first():
    outputs = make_outputs(REGRESSION)
    [worst] = choose_galleries(outputs)
    assert worst.numbers[0] == outputs.losses.argmax()


def test_each_cell_gets_examples_before_any_gets_more(monkeypatch):
    monkeypatch.setattr("cnnjax.report.html.examples.MOST_IN_CELLS", 10)
    outputs = make_outputs()
    cells = [(i, j) for i in range(3) for j in range(3)]
    chosen = choose_for_cells(outputs, cells)
    sizes = [len(numbers) for numbers in chosen.values()]
    assert sum(sizes) == 10 and min(sizes) >= 1
    monkeypatch.undo()
    assert max(map(len, choose_for_cells(outputs, cells).values())) <= MOST_IN_CELL


def test_captions_say_what_is_true_and_what_is_predicted():
    facts = make_facts(text="c")
    caption = describe_example(facts.predicted, facts.shown_names, 7)
    outputs = facts.predicted.outputs
    assert caption.truth == "c 1" and caption.file == "c/7.png"
    assert caption.prediction == f"c {outputs.predictions[7]}"
    assert caption.detail == f"{outputs.confidences[7]:.1%}"


def test_confusions_and_calibration_are_those_of_the_metrics():
    outputs = make_outputs()
    matrix = count_confusions(outputs)
    pairs = confused_pairs(matrix)
    assert pairs[0].count == (matrix * (1 - np.eye(3))).max()
    assert sum(pair.count for pair in pairs) == matrix.sum() - matrix.trace()
    calibration = make_calibration(outputs)
    [counts] = [s["y"] for s in calibration.counts.hover["series"]]
    assert sum(counts) == len(outputs.labels)
    [shares] = [s["y"] for s in calibration.chart.hover["series"]]
    counts = [count for count in counts if count]
    right = sum(s * count for s, count in zip(shares, counts, strict=True))
    assert round(right) == matrix.trace()


def read(uri):
    head, _, content = uri.partition(",")
    picture = Image.open(io.BytesIO(base64.b64decode(content)))
    return head, np.asarray(picture)


def test_small_pictures_are_exact_and_large_ones_reduced():
    draw = np.random.default_rng(0)
    small = draw.integers(0, 256, (3, 5, 4, 1), np.uint8)
    found = thumbnails.make_thumbnails(Split(small, np.arange(3)), [2, 0, 2])
    assert [*found] == [2, 0]
    head, picture = read(found[2])
    assert head == "data:image/png;base64"
    np.testing.assert_array_equal(picture, small[2, ..., 0])
    large = draw.integers(0, 256, (1, 300, 150, 3), np.uint8)
    head, picture = read(thumbnails.make_thumbnails(Split(large, np.arange(1)), [0])[0])
    assert head == "data:image/webp;base64"
    assert picture.shape == (96, 48, 3)


def test_pictures_end_at_their_limit():
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 1), np.uint8)
    split = Split(images, np.arange(9))
    one = len(thumbnails.make_thumbnails(split, [4])[4])
    assert 1 <= len(thumbnails.make_thumbnails(split, range(9), 3 * one)) <= 3
