"""Sources by name, and those that are made and not read."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.datasets

from cnnjax.data import SOURCES, RawDataset, Split, load_dataset
from cnnjax.data.sources.argument import parse_argument
from cnnjax.errors import DataError


def load(source):
    return load_dataset(source, validation_fraction=0.1, test_fraction=0.2, seed=0)


def test_digits():
    dataset = load("digits")
    assert dataset.num_classes == 10
    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    raw = SOURCES["digits"]("").train
    np.testing.assert_array_equal(raw.images[:].reshape(1797, 64), images)
    np.testing.assert_array_equal(raw.labels, labels)
    assert sum(len(split.labels) for split in dataset[:3]) == 1797
    assert dataset.train.images.shape[1:] == (8, 8, 1)
    assert dataset.train.images.dtype == np.uint8
    assert dataset.train.images.max() == 16
    assert len(dataset.validation.labels) == pytest.approx(180, abs=5)
    assert len(dataset.test.labels) == pytest.approx(359, abs=5)


def test_digits_need_an_installed_scikit_learn(monkeypatch, tmp_path):
    for path in ("", str(tmp_path)):
        spec = SimpleNamespace(submodule_search_locations=[path]) if path else None
        monkeypatch.setattr(importlib.util, "find_spec", lambda _, spec=spec: spec)
        with pytest.raises(DataError, match="run pip install scikit-learn"):
            load("digits")


@pytest.mark.parametrize(
    ("source", "shape", "classes", "n"),
    [
        ("synthetic", (28, 28, 1), 10, 1024),
        ("synthetic:9x2,3,30", (9, 2), 3, 30),
        ("synthetic:5x4x3,2,31", (5, 4, 3), 2, 31),
        ("synthetic:5x4x3x2,4,40", (5, 4, 3, 2), 4, 40),
    ],
)
def test_synthetic(source, shape, classes, n):
    dataset, again = load(source), load(source)
    assert dataset.num_classes == classes
    assert dataset.train.images.shape[1:] == shape
    assert sum(len(split.labels) for split in dataset[:3]) == n
    np.testing.assert_array_equal(dataset.train.images, again.train.images)
    np.testing.assert_array_equal(dataset.train.labels, again.train.labels)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "digitz",
            "did you mean 'digits'.*one of csv, digits, folder, glyphs1d, hdf5, idx",
        ),
        ("", "no data source ''"),
        ("digits:3", "'digits' takes no argument, got '3'"),
        ("glyphs1d:3", "'glyphs1d' takes no argument"),
        ("synthetic:28,10,5", "cannot read '28,10,5'.*28x28x1,10,1024"),
        ("synthetic:8x0x1,10,5", "above 0"),
        (f"synthetic:{'9' * 5000}x8x1,10,5", "cannot read '999"),
        (f"npz:a?classes={'9' * 5000}", "classes='999"),
        ("npz:a?classes=0", "classes='0': expected a whole number above 0"),
        ("npz:a\0b", r"'npz:a\\x00b' contains a character that no path can have"),
        ("npz:\ud800", r"'npz:\\ud800' contains a character that no path can have"),
        ("synthetic:9999x9999x9999,2,9", "declares .* bytes, more than"),
        ("idx", "'idx' needs a path"),
        ("npz:", "'npz' needs a path"),
        ("tfds:@/tmp", "'tfds' needs a name"),
    ],
)
def test_bad_sources_are_refused(source, message):
    with pytest.raises(DataError, match=message):
        load(source)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("f?clases=3", r"did you mean 'classes=\.\.\.'"),
        ("f?classes", "has no option 'classes'"),
    ],
)
def test_bad_options_are_refused(argument, message):
    with pytest.raises(DataError, match=message):
        parse_argument("npz", argument, {"classes", "channels"})


def test_number_of_classes_is_a_number():
    assert parse_argument("idx", "a?classes=12", {"classes"}).num_classes == 12
    with pytest.raises(DataError, match="classes='0': expected a whole number"):
        _ = parse_argument("idx", "a?classes=0", {"classes"}).num_classes


def test_own_source(monkeypatch):
    own = Split(np.zeros((4, 2, 1), np.uint8), np.arange(4))
    monkeypatch.setitem(SOURCES, "own", lambda argument: RawDataset(own, own, own))
    assert load("own").num_classes == 4
