"""Numbers in the place of images give the very images."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.data import Part, Split, TrainBatches
from cnnjax.data.class_order import ClassOrder
from cnnjax.data.picks import take

N, SIZE = 23, 6


@pytest.fixture
def split():
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (N, 4, 5, 3), np.uint8)
    return Split(images, draw.integers(-1, 3, N).astype(np.int32))


def batches(split, **options):
    return TrainBatches(split, SIZE, seed=3, start_step=2, num_steps=9, **options)


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("alternates", [False, True])
@pytest.mark.parametrize("part", [Part(), Part(1, 2)])
@pytest.mark.parametrize("balanced", [False, True])
def test_picks_are_the_images(split, alternates, part, balanced):
    """Nine steps are two epochs, so each image occurs in both ways if it alternates."""
    classes = ClassOrder(split.labels) if balanced else None
    options = {"alternates": alternates, "part": part, "classes": classes}
    found, held = batches(split, picks=True, **options), jnp.asarray(split.images)
    expected = batches(split, **options)
    for one, other in ((expected[i], found[i]) for i in range(len(found))):
        assert other.images.dtype == np.int32
        images = take(held, other.images, alternates=alternates)
        assert_same(one, other._replace(images=images))


@pytest.mark.parametrize("picks", [False, True])
def test_a_slice_is_a_stack_of_batches(split, picks):
    found = batches(split, picks=picks, alternates=True)
    stack = found[2:6]
    assert stack.labels.shape == (4, SIZE)
    for number in range(4):
        assert_same([x[number] for x in stack], found[2 + number])
