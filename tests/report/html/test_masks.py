"""Label maps and the scores of their classes."""

import base64
import io

import numpy as np
from PIL import Image

from cnnjax.data.masks import palette
from cnnjax.report.html.masks import describe_masks
from tests.support.report.html import make_maps

NAMES = ["background", "cat", "dog"]


def pixels_of(uri):
    head, _, content = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def test_the_maps_have_the_colors_of_their_classes():
    maps = make_maps()["label_maps"]
    found = describe_masks(maps, NAMES)
    for number, shown in enumerate(found.examples):
        labels = maps.split.labels[number]
        colors = palette()[labels]
        colors[labels < 0] = 255
        np.testing.assert_array_equal(pixels_of(shown.truth), colors)
        wrong = labels != maps.predictions[number]
        share = wrong[labels >= 0].mean()
        assert shown.detail == f"{share:.1%} of the pixels are wrong"
    assert [*found.legend] == [
        (f"#{bytes(palette()[i]).hex()}", name) for i, name in enumerate(NAMES)
    ]


def test_large_maps_keep_their_colors():
    maps = make_maps()["label_maps"]
    large = maps.split.labels.repeat(40, 1).repeat(40, 2)
    split = maps.split._replace(labels=large)
    maps = type(maps)(maps.confusion, split, large, maps.names)
    picture = pixels_of(describe_masks(maps, NAMES).examples[1].truth)
    assert picture.shape == (96, 80, 3)
    assert {tuple(c) for c in picture.reshape(-1, 3)} <= {
        tuple(c) for c in palette()[:3]
    }


def test_the_table_has_intersection_over_union():
    maps = make_maps()["label_maps"]
    confusion = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    maps = type(maps)(confusion, maps.split, maps.predictions, maps.names)
    rows = describe_masks(maps, NAMES).rows
    assert [row.texts[0] for row in rows] == ["66.7%", "50.0%", "-"]
    assert [row.texts[-1] for row in rows] == ["8", "4", "0"]
