"""What is loaded ahead of time: in order, within bounds, with errors in their place."""

import threading
import time

import numpy as np
import pytest

from cnnjax.data import Split, StreamedImages, eval_batches, train_batches
from cnnjax.data.prefetch import MOST_BATCHES, MOST_BYTES, Prefetch
from cnnjax.errors import DataError
from tests.data.test_stream import assert_same


class Counted:
    """Items that note which of them were asked for."""

    def __init__(self, count, failing=None):
        self.count, self.failing, self.asked = count, failing, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.asked.append(index)
        if index == self.failing:
            raise OSError(f"item {index} is gone")
        return index


def settled(items):
    """How many items are asked for once the thread has nothing more to do."""
    before = -1
    while before != len(items.asked):
        before = len(items.asked)
        time.sleep(0.05)
    return before


@pytest.mark.parametrize(
    ("size", "ahead"),
    [(1, 4), (MOST_BYTES // 4, 4), (MOST_BYTES // 3, 3), (MOST_BYTES + 1, 1), (0, 4)],
)
def test_so_many_items_wait(size, ahead):
    assert MOST_BATCHES == 4
    items = Counted(9)
    loaded = Prefetch(items, size)
    assert settled(items) == ahead
    assert next(loaded) == 0
    assert settled(items) == ahead + 1
    assert [*loaded] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert items.asked == [*range(9)]
    assert loaded.is_ready()  # to end


def test_error_is_raised_in_its_place_and_ends_it():
    items = Counted(9, failing=2)
    loaded = Prefetch(items, 1)
    assert [next(loaded), next(loaded)] == [0, 1]
    with pytest.raises(OSError, match="item 2 is gone"):
        next(loaded)
    assert [*loaded] == []
    assert settled(items) <= 6


def test_an_item_that_is_not_there_is_not_ready():
    gate = threading.Event()

    class Slow(Counted):
        def __getitem__(self, index):
            gate.wait(5)
            return index

    loaded = Prefetch(Slow(2), 1)
    assert not loaded.is_ready()
    gate.set()
    assert [*loaded] == [0, 1]


def streamed(images, read=None):
    return StreamedImages(
        "own",
        read or (lambda numbers: images[numbers]),
        images.shape[1:],
        images.dtype,
        np.arange(len(images)),
    )


def test_evaluation_of_streamed_images_is_loaded_ahead_and_the_same():
    images = np.random.default_rng(0).integers(0, 256, (23, 4, 3, 2), np.uint8)
    labels = np.arange(23, dtype=np.int32)
    seen = []

    def read(numbers):
        seen.append((threading.current_thread().name, numbers.tolist()))
        return images[numbers]

    batches = eval_batches(Split(streamed(images, read), labels), 5)
    assert isinstance(batches, Prefetch)
    assert_same(batches, eval_batches(Split(images, labels), 5))
    assert {name.partition("_")[0] for name, _ in seen} == {"cnnjax batches"}
    assert [number for _, some in seen for number in some] == [*range(23)]


def test_evaluation_passes_on_the_error_of_a_file():
    images = np.zeros((20, 2, 2, 1), np.uint8)

    def read(numbers):
        if 12 in numbers:
            raise DataError("file 12 is gone")
        return images[numbers]

    batches = eval_batches(Split(streamed(images, read), np.zeros(20, np.int32)), 5)
    assert [len(next(batches).labels), len(next(batches).labels)] == [5, 5]
    with pytest.raises(DataError, match="file 12 is gone"):
        next(batches)
    assert next(batches, None) is None


def test_large_training_batches_wait_one_at_a_time(monkeypatch):
    monkeypatch.setattr("cnnjax.data.prefetch.MOST_BYTES", 100)
    images, asked = np.zeros((64, 4, 4, 1), np.uint8), []

    def read(numbers):
        asked.append(len(numbers))
        return images[numbers]

    split = Split(streamed(images, read), np.zeros(64, np.int32))
    batches = train_batches(split, 8, 0, num_steps=8)
    time.sleep(0.2)
    assert asked == [8]
    next(batches)
    time.sleep(0.2)
    assert asked == [8, 8]
