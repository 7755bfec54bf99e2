"""Which examples each batch holds."""

import itertools
import threading
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnjax.data import Split, TrainBatches, eval_batches, train_batches, train_indices
from cnnjax.data.prefetch import Prefetch
from cnnjax.errors import DataError


def split(n=10):
    images = np.arange(2 * n, dtype=np.uint8).reshape(n, 2, 1)
    return Split(images, np.arange(n, dtype=np.int32))


def sizes():
    return st.integers(1, 30).flatmap(
        lambda n: st.tuples(st.just(n), st.integers(1, n), st.integers(0, 2**40))
    )


@given(sizes(), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_each_epoch_shows_each_example_once(size, epochs):
    n, batch_size, seed = size
    steps = -(-(epochs + 1) * n // batch_size)
    stream = [train_indices(n, batch_size, seed, step) for step in range(steps)]
    assert {len(batch) for batch in stream} == {batch_size}
    for epoch in range(epochs + 1):
        seen = np.concatenate(stream)[epoch * n : (epoch + 1) * n]
        assert sorted(seen) == list(range(n))


@given(sizes(), st.integers(0, 50), st.integers(1, 5))
@settings(deadline=None, max_examples=30)
def test_restart_goes_on_with_the_same_stream(size, start, more):
    n, batch_size, seed = size
    whole = train_batches(split(n), batch_size, seed, 0, start + more)
    rest = train_batches(split(n), batch_size, seed, start)
    pairs = list(zip(itertools.islice(whole, start, None), rest, strict=False))
    assert len(pairs) == more
    for step, (x, y) in enumerate(pairs, start):
        np.testing.assert_array_equal(x.labels, y.labels)
        np.testing.assert_array_equal(
            x.labels, train_indices(n, batch_size, seed, step)
        )


def test_order_is_the_same_for_ever():
    assert train_indices(10, 6, 3, 1).tolist() == [9, 8, 4, 3, 5, 8]
    assert train_indices(10**6, 2, 3, 2**50).tolist() == [567107, 965024]


def test_seeds_and_epochs_have_orders_of_their_own():
    pairs = list(itertools.product(range(3), range(3)))
    orders = {tuple(train_indices(20, 20, seed, step)) for seed, step in pairs}
    assert len(orders) == len(pairs)


def test_batches_hold_the_images_of_their_labels():
    batches = list(train_batches(split(), 4, seed=1, num_steps=5))
    assert len(batches) == 5
    for batch in batches:
        np.testing.assert_array_equal(batch.images, split().images[batch.labels])
        np.testing.assert_array_equal(batch.weights, np.ones(4, np.float32))
        assert batch.images.dtype == np.uint8
        assert batch.labels.dtype == np.int32


def test_random_access():
    batches = TrainBatches(split(), 4, seed=1, start_step=3, num_steps=2)
    assert len(batches) == 2
    np.testing.assert_array_equal(batches[1].labels, train_indices(10, 4, 1, 4))


def test_no_steps_and_no_end():
    assert list(train_batches(split(), 4, seed=0, num_steps=0)) == []
    endless = train_batches(split(), 4, seed=0, start_step=10**9)
    assert len(list(itertools.islice(endless, 100))) == 100


@dataclass(frozen=True, eq=False)
class Failing(TrainBatches):
    """Batches of which one cannot be read."""

    def __getitem__(self, index):
        if index == 3:
            raise OSError("disk on fire")
        return super().__getitem__(index)


def test_error_in_the_source_is_raised_and_ends_the_stream():
    batches = Prefetch(Failing(split(), 4, 0, 0, 9), 8)
    assert len(list(itertools.islice(batches, 3))) == 3
    with pytest.raises(OSError, match="disk on fire"):
        next(batches)
    assert next(batches, None) is None


def test_threads_end_with_their_iterator():
    before = set(threading.enumerate())
    batches = train_batches(split(), 4, seed=0)
    next(batches)
    started = set(threading.enumerate()) - before
    assert started
    del batches
    for thread in started:
        thread.join(timeout=5)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((11, 0, 0, 1), "batch_size is 11, but the training split has 10 examples"),
        ((0, 0, 0, 1), "batch_size is 0"),
        ((4, -1, 0, 1), "seed is -1"),
        ((4, 0, -2, 1), "step is -2"),
        ((4, 0, 0, -3), "num_steps is -3"),
    ],
)
def test_bad_numbers_are_refused_at_once(numbers, message):
    with pytest.raises(DataError, match=message):
        train_batches(split(), *numbers)


@pytest.mark.parametrize("batch_size", [1, 3, 5, 10, 16])
def test_evaluation_shows_each_example_once(batch_size):
    batches = list(eval_batches(split(), batch_size))
    assert len(batches) == -(-10 // batch_size)
    assert {batch.images.shape for batch in batches} == {(batch_size, 2, 1)}
    images, labels, weights = map(np.concatenate, zip(*batches, strict=True))
    assert weights.tolist() == [1] * 10 + [0] * (len(weights) - 10)
    np.testing.assert_array_equal(images[:10], split().images)
    np.testing.assert_array_equal(labels[:10], split().labels)
    assert not images[10:].any()
    assert not labels[10:].any()
    assert (images.dtype, labels.dtype, weights.dtype) == (
        np.uint8,
        np.int32,
        np.float32,
    )


def test_evaluation_batch_size_is_checked_at_once():
    with pytest.raises(DataError, match="batch_size is 0"):
        eval_batches(split(), 0)
