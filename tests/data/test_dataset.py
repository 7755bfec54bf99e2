"""Checks of images and labels, and the splits that are held out."""

import numpy as np
import numpy.typing as npt
import pytest

from cnnjax.data import RawDataset, Split, make_dataset
from cnnjax.errors import DataError


def images(n=20, shape=(3, 2, 1), dtype: npt.DTypeLike = np.uint8):
    return np.arange(n * np.prod(shape)).reshape(n, *shape).astype(dtype)


def labels(n=20, classes=4):
    return np.arange(n) % classes


def make(raw, validation_fraction=0.2, test_fraction=0.3, seed=0):
    return make_dataset(
        raw,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
    )


def rows(split):
    return {x.tobytes() for x in split.images}


def test_missing_splits_are_held_out_of_train():
    dataset = make(RawDataset(Split(images(), labels())))
    assert [len(s.labels) for s in dataset[:3]] == [8, 4, 8]
    assert np.bincount(dataset.validation.labels).tolist() == [1, 1, 1, 1]
    assert np.bincount(dataset.test.labels).tolist() == [2, 2, 2, 2]
    assert set.union(*map(rows, dataset[:3])) == rows(Split(images(), labels()))
    assert dataset.num_classes == 4
    pairs = dict(zip(map(bytes, images()), labels(), strict=True))
    for split in dataset[:3]:
        assert [pairs[bytes(x)] for x in split.images] == split.labels.tolist()


def test_held_out_examples_are_a_function_of_the_seed():
    raw = RawDataset(Split(images(40), labels(40)))
    first, again, other = make(raw), make(raw), make(raw, seed=1)
    assert rows(first.validation) == rows(again.validation)
    assert rows(first.validation) != rows(other.validation)
    assert rows(first.test) == rows(make(raw, validation_fraction=0.4).test)


def test_given_splits_stay_as_they_are():
    splits = [Split(images(n), labels(n)) for n in (9, 5, 6)]
    dataset = make(RawDataset(*splits, num_classes=4), 0.0, 0.0)
    for before, after in zip(splits, dataset[:3], strict=True):
        np.testing.assert_array_equal(before.images, after.images)
        np.testing.assert_array_equal(before.labels, after.labels)
        assert after.labels.dtype == np.int32


def test_classes_that_train_lacks_count():
    train, other = Split(images(), labels()), Split(images(), labels() + 3)
    assert make(RawDataset(train, other, other)).num_classes == 7
    assert make(RawDataset(train, other, train, num_classes=9)).num_classes == 9


@pytest.mark.parametrize("shape", [(5, 1), (3, 2, 1), (4, 3, 2, 2)])
def test_one_to_three_spatial_axes(shape):
    assert make(RawDataset(Split(images(20, shape), labels()))).train.images.shape == (
        8,
        *shape,
    )


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (np.bool_, np.uint8),
        (np.int64, np.uint8),
        (np.uint8, np.uint8),
        (np.float16, np.float32),
        (np.float64, np.float32),
        (np.dtype(">f4"), np.float32),
    ],
)
def test_dtype_of_images(dtype, expected):
    x = images(dtype=dtype) if dtype != np.bool_ else images() > 50
    split = Split(x, labels())
    y = make(RawDataset(split, split, split)).train.images
    assert y.dtype == expected
    assert y.dtype.isnative
    np.testing.assert_array_equal(y, x)


def test_labels_in_a_column():
    split = Split(images(), labels()[:, None])
    dataset = make(RawDataset(split, split, split))
    np.testing.assert_array_equal(dataset.train.labels, labels())


def with_value(array, index, value):
    array = array.copy()
    array[index] = value
    return array


REFUSED = {
    "rank": (images()[:, 0, 0], labels(), r"\(20, 1\).*1 to 3 spatial axes"),
    "lengths": (images(), labels(19), "20 images but 19 labels"),
    "empty": (images(0), labels(0), "empty"),
    "no pixels": (images(20, (3, 0, 1)), labels(), "empty"),
    "text labels": (images(), labels().astype(str), "<U21: expected numbers"),
    "deep labels": (
        images(),
        labels()[:, None, None],
        "one class number for each pixel",
    ),
    "negative": (images(), with_value(labels(), 7, -2), "label 7 is -2.* 0 to 3"),
    "huge": (images(), with_value(labels(), 7, 2**40), "1099511627777 classes"),
    "nan": (with_value(images(dtype=np.float32), 6, np.nan), labels(), "image 6 holds"),
    "overflow": (images(dtype=float) * 1e40, labels(), "image 0 holds NaN or infinity"),
    "wide integers": (
        images(dtype=np.int16) * 9,
        labels(),
        "from 0 to 1071, for example in image 4.*0..255",
    ),
    "complex": (images(dtype=complex), labels(), "complex128.*uint8 or float32"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_arrays_are_refused(case):
    x, y, message = REFUSED[case]
    with pytest.raises(DataError, match=f"train.*{message}|{message}"):
        make(RawDataset(Split(x, y)))


def test_label_beyond_the_stated_classes_is_named():
    bad = Split(images(), with_value(labels(), [5, 9], 11))
    good = Split(images(), labels())
    with pytest.raises(DataError, match=r"test label 5 is 11: .* 0 to 9"):
        make(RawDataset(good, good, bad, num_classes=10))


@pytest.mark.parametrize("other", [images(20, (2, 3, 1)), images(dtype=np.float32)])
def test_splits_have_one_shape_and_dtype(other):
    with pytest.raises(DataError, match=r"test images are .* but train images"):
        make(RawDataset(Split(images(), labels()), None, Split(other, labels())))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_fraction_out_of_range(fraction):
    raw = RawDataset(Split(images(), labels()))
    with pytest.raises(
        DataError, match=r"validation_fraction is .*no validation split"
    ):
        make(raw, validation_fraction=fraction)


def test_negative_seed():
    with pytest.raises(DataError, match="seed is -1"):
        make(RawDataset(Split(images(), labels())), seed=-1)


@pytest.mark.parametrize("fractions", [(0.2, 0.3), (0.6, 0.5)])
def test_class_with_too_few_examples(fractions):
    y = labels(11, 4) if fractions[0] == 0.2 else labels(40)
    y = with_value(y, y == 3, 2)
    y[:2] = 3
    with pytest.raises(DataError, match=r"class \d has \d+ training examples: too few"):
        make(RawDataset(Split(images(len(y)), y)), *fractions)
