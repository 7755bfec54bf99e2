"""Labels and images that may not be what was meant: told by number, or refused."""

import numpy as np
import pytest

from cnnjax.data import RawDataset, Split, load_dataset, make_dataset
from cnnjax.data.plausible import looks_channels_first
from cnnjax.errors import DataError


def split(labels, shape=(3, 2, 1)):
    labels = np.asarray(labels)
    return Split(np.zeros((len(labels), *shape), np.uint8), labels)


def notes(train, validation=None, test=None, num_classes=None):
    parts = [train if part is None else part for part in (train, validation, test)]
    raw = RawDataset(*map(split, parts), num_classes=num_classes)
    return make_dataset(raw, validation_fraction=0.2, test_fraction=0.2, seed=0).notes


def test_labels_without_gaps_need_no_word():
    assert notes([0, 1, 2, 3] * 3) == ()
    assert notes([0, 1] * 3, num_classes=2) == ()


@pytest.mark.parametrize("first", [1, 2])
def test_labels_that_do_not_start_at_0_are_told(first):
    labels = [first, first + 1, first + 2, first + 3] * 3
    (note,) = notes(labels)
    empty = "class 0" if first == 1 else "classes 0 to 1"
    assert note.startswith(f"{empty} of {first + 4} ha")
    assert f"labels run from {first} to {first + 3}" in note
    assert f"subtract {first} from all" in note


def test_empty_classes_are_told_by_number():
    assert notes([0, 1, 3, 4, 7, 5] * 3) == (
        "classes 2 and 6 of 8 have no training examples",
    )
    assert notes([0, 1, 2, 3], num_classes=10) == (
        "classes 4 to 9 of 10 have no training examples",
    )
    assert notes([0, 2, 3], num_classes=4) == ("class 1 of 4 has no training examples",)


def test_a_long_list_of_empty_classes_is_cut():
    (note,) = notes(range(0, 200, 2), num_classes=200)
    assert note.startswith("classes 1, 3, 5, 7, 9, 11, 13, 15 and others of 200 have")


def test_many_stated_classes_take_no_time_and_no_memory():
    (note,) = notes([0, 1], num_classes=2**31 - 1)
    assert note == "classes 2 to 2147483646 of 2147483647 have no training examples"


def test_a_class_that_only_the_other_splits_have_is_told():
    found = notes([0, 1, 2] * 3, validation=[0, 3], test=[1, 4, 3])
    assert found == (
        "classes 3 to 4 of 5 have no training examples",
        "class 3 occurs in the validation split, but not in training: none of these"
        " examples can be classified correctly",
        "classes 3 to 4 occur in the test split, but not in training: none of these"
        " examples can be classified correctly",
    )


@pytest.mark.parametrize("num_classes", [None, 5])
@pytest.mark.parametrize("label", [0, 3])
def test_one_single_class_is_refused(label, num_classes):
    with pytest.raises(
        DataError, match=f"all 6 training examples are of class {label}"
    ):
        notes([label] * 6, test=[0, 1, 2], num_classes=num_classes)


def test_a_label_far_outside_is_refused_with_its_place_and_the_way_out():
    labels = [0, 1, 2, 3] * 3
    labels[6] = 255
    with pytest.raises(DataError) as caught:
        notes(labels)
    for words in (
        "train label 6 is 255, which means 256 classes",
        "251 of them have no training examples (classes 4 to 254)",
        "npz:FILE?classes=256",
    ):
        assert words in str(caught.value)
    with pytest.raises(DataError, match="test label 2 is 255, which means 256 classes"):
        notes([0, 1, 2, 3], test=[0, 1, 255])
    assert notes(labels, num_classes=256) == (
        "classes 4 to 254 of 256 have no training examples",
    )


def test_negative_labels_are_refused():
    with pytest.raises(DataError, match="train label 1 is -2: expected a class number"):
        notes([0, -2, 1])


def test_ignored_examples_are_counted():
    first, *_ = notes([0, -1, 1, -1, 0, 1])
    assert first == "2 of 6 train examples have the label -1 and are ignored"


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((9, 3, 32, 32), True),
        ((9, 1, 28, 28), True),
        ((9, 4, 8, 8), True),
        ((9, 3, 224, 320), True),
        ((9, 1, 16, 16, 16), True),
        ((9, 32, 32, 3), False),
        ((9, 28, 28, 1), False),
        ((9, 4, 4, 16), False),
        ((9, 1, 8, 12), False),
        ((9, 8, 8, 8), False),
        ((9, 3, 3, 3), False),
        ((9, 4, 4, 4), False),
        ((9, 3, 32), False),
    ],
)
def test_images_with_channels_first_are_known_by_their_shape(shape, expected):
    assert looks_channels_first(shape) is expected


def test_own_images_with_channels_first_are_told():
    part = split([0, 1, 2], (3, 32, 32))
    raw = RawDataset(part, part, part)
    (note,) = make_dataset(
        raw, validation_fraction=0.2, test_fraction=0.2, seed=0
    ).notes
    assert note.startswith("images of shape (3, 3, 32, 32) look as if channels came")
    assert "numpy.moveaxis(images, 1, -1)" in note


@pytest.mark.parametrize("streaming", [False, True])
def test_an_archive_with_channels_first_is_refused_unless_it_is_meant(
    tmp_path, streaming
):
    path = tmp_path / "a.npz"
    images = np.zeros((20, 1, 28, 28), np.uint8)
    np.savez(path, images=images, labels=np.arange(20) % 2)

    def load(source):
        return load_dataset(
            source,
            validation_fraction=0.2,
            test_fraction=0.2,
            seed=0,
            streaming=streaming,
        )

    with pytest.raises(DataError, match=r"as if channels came first.*channels=last"):
        load(f"npz:{path}")
    dataset = load(f"npz:{path}?channels=last")
    assert dataset.train.images.shape[1:] == (1, 28, 28)
    assert len(dataset.notes) == 1
