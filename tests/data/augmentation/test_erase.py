"""Erased rectangles and squares: where they are, how large, how often."""

import functools

import jax
import numpy as np
import pytest

from cnnjax.data.augmentation.erase import make_cutout, make_erase


def zeros_of(apply, shape, seeds):
    """Where each of several images of ones becomes zero."""
    keys = jax.vmap(jax.random.key)(np.arange(seeds))
    y = jax.jit(jax.vmap(apply, (0, None)))(keys, np.ones(shape, np.float32))
    zero = np.asarray(y) == 0
    assert (zero.all(-1) == zero.any(-1)).all()
    assert ((np.asarray(y) == 1) | zero).all()
    return zero[..., 0]


@pytest.mark.parametrize("channels", [1, 3])
def test_erase_takes_one_rectangle(channels):
    zero = zeros_of(make_erase(1.0, (0.1, 0.3), (0.5, 2.0)), (20, 17, channels), 1000)
    for mask in zero:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask.sum() == len(rows) * len(columns)
        assert len(rows) == rows[-1] - rows[0] + 1
        assert len(columns) == columns[-1] - columns[0] + 1
        assert 0.08 < mask.mean() < 0.33  # sides are rounded
        assert 0.4 < len(rows) / len(columns) < 2.4
    corners = zero[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.any(0).all()


def test_erase_happens_with_its_probability():
    zero = zeros_of(make_erase(0.25), (16, 16, 1), 2000)
    share = zero.any((1, 2)).mean()
    assert share == pytest.approx(0.25, abs=0.05)  # five standard deviations
    assert not zeros_of(make_erase(0), (16, 16, 1), 20).any()


def test_a_rectangle_that_does_not_fit_erases_nothing():
    assert not zeros_of(make_erase(1, (1, 1), (4, 4)), (8, 8, 1), 20).any()


@functools.cache
def centers(sizes):
    """The drawn center of each of 30 images."""
    keys = jax.vmap(jax.random.key)(np.arange(30))
    draw = jax.vmap(lambda k: jax.random.randint(k, (len(sizes),), 0, np.array(sizes)))
    return np.asarray(jax.jit(draw)(keys))


@pytest.mark.parametrize("shape", [(9, 2), (7, 5, 3), (4, 6, 5, 1)])
@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_cutout(shape, size):
    sizes = shape[:-1]
    zero = zeros_of(make_cutout(size), shape, 30)
    for center, mask in zip(centers(sizes), zero, strict=True):
        expected = np.zeros(sizes, bool)
        for place in np.ndindex(*sizes):
            expected[place] = all(
                c - size // 2 <= p < c - size // 2 + size
                for p, c in zip(place, center, strict=True)
            )
        np.testing.assert_array_equal(mask, expected)
