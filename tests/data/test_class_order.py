"""Balanced sampling: each class equally often, exactly, from any step."""

import numpy as np
import pytest

from cnnjax.data import Part, Split, train_batches
from cnnjax.data.class_order import ClassOrder
from cnnjax.errors import DataError

WHOLE = Part()
LABELS = np.random.default_rng(0).permutation(np.repeat([0, 2, 3, -1], [50, 7, 2, 5]))


def test_each_block_of_positions_holds_every_class_once():
    chosen, _ = ClassOrder(LABELS).at(np.arange(600), 7)
    blocks = np.sort(LABELS[chosen].reshape(200, 3), axis=1)
    np.testing.assert_array_equal(blocks, np.tile([0, 2, 3], (200, 1)))


def test_a_class_shows_all_its_examples_before_any_again():
    chosen, turns = ClassOrder(LABELS).at(np.arange(900), 7)
    for label in (0, 2, 3):
        members = np.flatnonzero(np.equal(LABELS, label))
        shown = chosen[LABELS[chosen] == label]
        rounds = len(shown) // len(members)
        whole = shown[: rounds * len(members)].reshape(rounds, -1)
        np.testing.assert_array_equal(
            np.sort(whole, axis=1), np.tile(members, (rounds, 1))
        )
        if len(members) > 2:
            assert any((whole[0] != row).any() for row in whole[1:])
        seen = turns[LABELS[chosen] == label][: rounds * len(members)]
        np.testing.assert_array_equal(seen, np.repeat(np.arange(rounds), len(members)))


def test_any_position_is_a_function_of_the_seed():
    order = ClassOrder(LABELS)
    whole, turns = order.at(np.arange(5000), 3)
    some = np.array([4999, 0, 2500, 17])
    found = ClassOrder(LABELS).at(some, 3)
    np.testing.assert_array_equal(found, (whole[some], turns[some]))
    assert (order.at(np.arange(5000), 4)[0] != whole).any()


def test_a_resumed_or_divided_stream_is_the_same():
    split = Split(np.arange(64, dtype=np.uint8).reshape(64, 1, 1, 1), LABELS)

    def images(start, part=WHOLE):
        order = ClassOrder(LABELS)
        batches = train_batches(split, 12, 5, start, 6 - start, part, classes=order)
        return np.stack([batch.images.ravel() for batch in batches])

    whole = images(0)
    np.testing.assert_array_equal(images(4), whole[4:])
    halves = [images(0, Part(i, 2)) for i in range(2)]
    np.testing.assert_array_equal(np.concatenate(halves, axis=1), whole)
    counts = np.bincount(LABELS[whole].ravel())
    assert counts[[0, 2, 3]].tolist() == [24, 24, 24]


@pytest.mark.parametrize("labels", [np.ones((3, 2), np.int8), np.ones(3)])
def test_only_class_numbers_can_be_balanced(labels):
    with pytest.raises(DataError, match="needs one class number per example"):
        ClassOrder(labels)
