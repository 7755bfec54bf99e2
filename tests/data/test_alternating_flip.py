"""Alternating flip, against a loop over the whole stream of examples."""

import numpy as np
import pytest

from cnnjax.data import Split, StreamedImages, train_batches, train_indices
from cnnjax.data.batches import Part
from cnnjax.data.class_order import ClassOrder

N, SIZE, SEED = 11, 4, 5
SHAPES = [(6, 2), (3, 6, 2), (2, 3, 6, 1)]


def make_split(shape, streamed=False):
    """Images without any symmetry, which say which example they are."""
    size = int(np.prod(shape))
    images = np.arange(N * size, dtype=np.float32).reshape(N, *shape)
    if streamed:
        read, numbers = images.__getitem__, np.arange(N)
        images = StreamedImages("set", read, shape, images.dtype, numbers)
    return Split(images, np.arange(N, dtype=np.int32))


def reference(images, steps):
    """Each step's images: a coin decides for the first epoch, then it changes."""
    raw = np.random.Philox(np.random.SeedSequence((SEED, 0, 0x0F11))).random_raw(N)
    turned = [bits >= 2**63 for bits in raw.tolist()]
    found, seen = [], 0
    for step in range(steps):
        batch = []
        for number in train_indices(N, SIZE, SEED, step):
            image = images[number]
            batch.append(image[..., ::-1, :] if turned[number] else image)
            seen += 1
            if seen % N == 0:  # an epoch ends, maybe within the batch
                turned = [not each for each in turned]
        found.append(np.stack(batch))
    return found


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_five_epochs_are_those_of_the_loop(shape, streamed):
    steps = 5 * N // SIZE
    split = make_split(shape, streamed)
    found = train_batches(split, SIZE, SEED, num_steps=steps, alternates=True)
    expected = reference(make_split(shape).images, steps)
    for step, (batch, images) in enumerate(zip(found, expected, strict=True)):
        np.testing.assert_array_equal(batch.images, images)
        chosen = train_indices(N, SIZE, SEED, step)
        np.testing.assert_array_equal(batch.labels, chosen)


@pytest.mark.parametrize("start", [1, 2, 6])
@pytest.mark.parametrize("part", [Part(0, 2), Part(1, 2)])
def test_a_resumed_process_sees_its_part_of_the_same(start, part):
    split = make_split(SHAPES[1])
    found = train_batches(split, SIZE, SEED, start, 5, part, alternates=True)
    expected = reference(split.images, start + 5)[start:]
    for batch, images in zip(found, expected, strict=True):
        np.testing.assert_array_equal(batch.images, images[part.rows(SIZE)])


def test_two_epochs_show_both_sides_of_every_image():
    split = make_split(SHAPES[1])
    seen = {number: [] for number in range(N)}
    for batch in train_batches(split, 1, SEED, num_steps=4 * N, alternates=True):
        number = int(batch.labels[0])
        seen[number].append((batch.images[0] != split.images[number]).any())
    for first, *others in seen.values():
        assert others == [not first, first, not first]
    firsts = [sides[0] for sides in seen.values()]
    assert 0 < sum(firsts) < N


def test_with_balanced_classes_each_showing_alternates():
    """A class of one example and one of ten: the former is shown ten times as often."""
    images = make_split(SHAPES[1]).images
    split = Split(images, (np.arange(N) > 0).astype(np.int32))
    sides = {}
    for batch in train_batches(
        split,
        1,
        SEED,
        num_steps=60,
        classes=ClassOrder(split.labels),
        alternates=True,
    ):
        image = batch.images[0]
        number = int(image.min()) // image.size
        sides.setdefault(number, []).append((image != images[number]).any())
    assert len(sides[0]) == 30
    assert len(sides) == N
    for first, *others in sides.values():
        expected = [first != (turn % 2 == 1) for turn in range(1, len(others) + 1)]
        assert others == expected


def test_each_seed_draws_its_own():
    split = make_split(SHAPES[0])
    firsts = set()
    for seed in range(20):
        batch = next(train_batches(split, N, seed, alternates=True))
        order = np.argsort(batch.labels)
        firsts.add(tuple((batch.images[order] != split.images).any((1, 2))))
    assert len(firsts) > 15
    assert 0.3 < np.mean([*firsts]) < 0.7


def test_without_it_batches_are_as_before():
    split = make_split(SHAPES[1])
    for batch in train_batches(split, SIZE, SEED, num_steps=9):
        np.testing.assert_array_equal(batch.images, split.images[batch.labels])
