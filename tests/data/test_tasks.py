"""What labels mean, the forms they are stored in, and the weights of classes."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from cnnjax.data import RawDataset, Split, eval_batches, make_dataset, train_batches
from cnnjax.data.tasks import TASKS, balanced_weights, check_labels, find_task
from cnnjax.errors import DataError

NUMBERS = np.array([0, 2, 1, 2])
FLAGS = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, -1, 1]])
ONE_HOT = np.eye(3, dtype=int)[NUMBERS]
SHARES = np.array([[0.5, 0.5, 0], [1, 0, 0], [0.2, 0.3, 0.5], [0, 0.1, 0.9]])
MOSTLY = np.where(np.arange(12)[:, None] == 9, 0, SHARES[:1])
ANY = np.array([[1.5, -3], [0, 4], [2, 2], [7, 0.5]])
CLASSES, MULTILABEL, REGRESSION, _ = TASKS
SIGMOID = (CLASSES, MULTILABEL)


@pytest.mark.parametrize(
    ("labels", "allowed", "task"),
    [
        (NUMBERS, TASKS, CLASSES),
        (NUMBERS[:, None], TASKS, CLASSES),
        (NUMBERS, (REGRESSION,), REGRESSION),
        (NUMBERS, SIGMOID, CLASSES),
        (NUMBERS * 1.0, TASKS, REGRESSION),
        (FLAGS, TASKS, MULTILABEL),
        (FLAGS > 0, TASKS, MULTILABEL),
        (FLAGS, (REGRESSION,), REGRESSION),
        (ONE_HOT, SIGMOID, MULTILABEL),
        (ONE_HOT, (CLASSES,), CLASSES),
        (SHARES, TASKS, CLASSES),
        (SHARES, SIGMOID, CLASSES),
        (ONE_HOT * 1.0, SIGMOID, MULTILABEL),
        (FLAGS * 1.0, SIGMOID, MULTILABEL),
        (SHARES / 2, SIGMOID, MULTILABEL),
        (ANY, TASKS, REGRESSION),
        (ANY[:, :1], TASKS, REGRESSION),
    ],
)
def test_the_form_of_labels_and_the_loss_tell_what_they_mean(labels, allowed, task):
    assert find_task({"train": labels}, allowed) == task


@pytest.mark.parametrize(
    ("labels", "allowed", "expected"),
    [
        (NUMBERS * 1.0, (CLASSES,), r"such as 0.0: .* expected class numbers \(n,\)"),
        (FLAGS, (CLASSES,), r"such as \[1, 0, 1\].*'sigmoid' for several"),
        (ANY, SIGMOID, r"or 1 for each class, \(n, classes\)"),
        (MOSTLY, SIGMOID, "label 9 is .* sums to 0, but most"),
    ],
)
def test_labels_that_no_loss_fits_are_refused(labels, allowed, expected):
    with pytest.raises(DataError, match=expected):
        find_task({"train": labels}, allowed)


@pytest.mark.parametrize(
    ("labels", "classes", "task", "dtype", "shape"),
    [
        (np.array([0, -1, 2]), 3, CLASSES, np.int32, (3,)),
        (SHARES, 3, CLASSES, np.float32, (4, 3)),
        (FLAGS, 3, MULTILABEL, np.int8, (4, 3)),
        (FLAGS > 0, 3, MULTILABEL, np.int8, (4, 3)),
        (FLAGS * 1.0, 3, MULTILABEL, np.int8, (4, 3)),
        (FLAGS[:, :1], 1, MULTILABEL, np.int8, (4, 1)),
        (SHARES, 3, MULTILABEL, np.float32, (4, 3)),
        (NUMBERS, 1, REGRESSION, np.float32, (4, 1)),
        (ANY, 2, REGRESSION, np.float32, (4, 2)),
    ],
)
def test_labels_are_stored_in_one_form(labels, classes, task, dtype, shape):
    found = check_labels("train", labels, classes, task)
    assert (found.dtype, found.shape) == (dtype, shape)
    np.testing.assert_array_equal(found, labels.reshape(shape).astype(dtype))


@pytest.mark.parametrize(
    ("labels", "classes", "task", "expected"),
    [
        (np.array([0, -2]), 3, CLASSES, "label 1 is -2: .* or -1 for an example"),
        (np.array([-1, -1]), 3, CLASSES, "all test labels are -1"),
        (-np.ones((2, 3), int), 3, MULTILABEL, "all test labels are -1"),
        (FLAGS, 4, MULTILABEL, r"\(4, 3\).*here for 4 classes"),
        (ANY, 3, REGRESSION, r"\(4, 2\).*here for 3 outputs"),
        (np.array([1, np.nan]), 1, REGRESSION, r"label 1 is nan.*finite"),
        (np.array([1, 1e300]), 1, REGRESSION, "label 1 is 1e.300.*finite"),
        (SHARES / 2, 3, CLASSES, r"label 0 is \[0.25, 0.25, 0.0\]: expected class n"),
        (np.array([[0.5, 0], [2, 0]]), 2, MULTILABEL, r"label 1 is \[2.0, 0.0\]"),
    ],
)
def test_wrong_labels_are_named(labels, classes, task, expected):
    with pytest.raises(DataError, match=expected):
        check_labels("test", labels, classes, task)


def test_balanced_weights_are_those_of_scikit_learn():
    labels = np.random.default_rng(0).choice(4, 200, p=[0.6, 0.2, 0.15, 0.05])
    wanted = compute_class_weight("balanced", classes=np.arange(4), y=labels)
    found = balanced_weights(labels.astype(np.int32), CLASSES, 4)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    ignored = np.concatenate([labels, [-1] * 50]).astype(np.int32)
    np.testing.assert_allclose(balanced_weights(ignored, CLASSES, 4), found)
    soft = np.eye(4, dtype=np.float32)[labels]
    np.testing.assert_allclose(balanced_weights(soft, CLASSES, 4), found, rtol=1e-5)
    assert balanced_weights(np.int32([0, 0, 2]), CLASSES, 4)[[1, 3]].tolist() == [1, 1]


def test_balanced_weights_of_several_classes_weigh_yes_against_no():
    flags = np.int8([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, -1, 0]])
    np.testing.assert_allclose(balanced_weights(flags, MULTILABEL, 3), [3, 0.5, 1])


def dataset(labels, **options):
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    raw = RawDataset(Split(images, labels))
    return make_dataset(
        raw, validation_fraction=0.2, test_fraction=0.2, seed=0, **options
    )


def test_examples_of_an_unknown_class_weigh_nothing_and_stay_in_training():
    labels = np.arange(60) % 3
    labels[::4] = -1
    data = dataset(labels)
    assert (data.validation.labels >= 0).all() and (data.test.labels >= 0).all()
    batch = next(train_batches(data.train, 20, 0))
    unknown = batch.images.ravel() % 4 == 0
    assert unknown.any()
    np.testing.assert_array_equal(batch.weights, ~unknown)
    assert batch.labels.min() >= 0
    scored = next(eval_batches(Split(data.train.images, data.train.labels), 64))
    assert scored.weights.sum() == (data.train.labels >= 0).sum()


@pytest.mark.parametrize("labels", [ANY, FLAGS, SHARES], ids=["any", "flags", "soft"])
def test_splits_of_other_labels_are_held_out_once(labels):
    data = dataset(np.tile(labels, (10, 1)))
    parts = [split.images.ravel() for split in data[:3]]
    assert [len(part) for part in parts] == [24, 8, 8]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(40))
    assert data.num_classes == labels.shape[1]


def test_too_few_numbers_to_hold_out():
    with pytest.raises(DataError, match="there are 2 training examples: too few"):
        dataset(ANY[:2])


def test_a_class_that_no_example_has_is_told():
    flags = np.tile(FLAGS, (5, 1))
    flags[:, 1] = 0
    assert dataset(flags).notes == ("class 1 of 3 has no training examples",)
