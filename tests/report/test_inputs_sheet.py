"""The sheet of a network's inputs: captions, facts, and values that are not finite."""

import numpy as np
import pytest
from PIL import ImageDraw

from cnnjax.data import Dataset, Normalization, Split
from cnnjax.report.inputs_sheet import describe_images, draw_inputs
from cnnjax.train.run.inputs import Inputs, Shown

NORMALIZATION = Normalization(np.array([4.0], "f"), np.array([2.0], "f"))
LABELS = np.array([0, 1, 2, 1])
STORED = np.arange(4 * 6, dtype=np.uint8).reshape(4, 3, 2, 1)
SPLIT = Split(STORED, LABELS)
NAMES = ("cat", "猫", "a\x1bb")  # no font of the sheet has the second


@pytest.fixture
def texts(monkeypatch):
    """The texts that are drawn."""
    found, text = [], ImageDraw.ImageDraw.text

    def draw(self, place, words, fill, font):
        found.append(words)
        text(self, place, words, fill, font)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", draw)
    return found


def draw(inputs, names=NAMES):
    dataset = Dataset(SPLIT, SPLIT, SPLIT, 3, class_names=names)
    return draw_inputs("title", [Shown("a part", "", inputs)], dataset, NORMALIZATION)


def inputs(**more):
    images = (STORED.astype(np.float32) - 4) / 2
    return Inputs(STORED, images, LABELS, np.arange(len(LABELS)), **more)


def test_each_image_has_the_name_of_its_class(texts):
    draw(inputs())
    half = texts[len(texts) // 2 :]  # the first half only found the height
    assert half[-5:] == ["a part", "cat", "class 1", r"a\x1bb", "class 1"]
    assert "black is 0, white is 23." in " ".join(half)


def test_a_mixed_image_has_both_names_with_their_shares(texts):
    shares = np.array([0.25, 0.25, 1.0, 1.0])
    draw(inputs(shares=shares, others=LABELS[[1, 0, 3, 2]]), names=None)
    assert texts[-8:-2] == [
        *("25% class 0", "75% class 1"),
        *("25% class 1", "75% class 0"),
        *("100% class 2", "0% class 1"),
    ]


def test_values_that_are_not_finite_are_mentioned(texts):
    seen = inputs()
    draw(seen)
    assert "finite" not in " ".join(texts)
    seen.images[0, 0, 0] = np.nan
    draw(seen)
    assert "Some values are not finite" in " ".join(texts)


def test_facts():
    facts = "3x2x1 uint8, from 0 to 23 in these examples, normalized with mean 4 and"
    assert describe_images([inputs()], NORMALIZATION) == facts + " std 2"
    five = Normalization(np.arange(5.0), np.full(5, 0.123456))
    found = describe_images([inputs()], five)
    assert "mean (0, 1, 2, 3, ...) and std (0.1235, 0.1235, 0.1235, 0.1235, .." in found
