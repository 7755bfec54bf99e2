"""Mixup and CutMix: pixels, shares, losses, and what a divided batch changes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnnjax import ops
from cnnjax.data.augmentation import make_augmentation, mix, partner
from cnnjax.errors import ConfigError

KEY = jax.random.key(3)
SHAPES = [(8, 11, 2), (8, 5, 9, 3), (8, 4, 5, 6, 1)]


def normal(shape):
    return jax.random.normal(jax.random.key(0), shape)


def run(texts, x, first=0):
    """``mix`` as one program; op by op, each operation would be one."""
    ways = [make_augmentation(text) for text in texts]
    return jax.jit(lambda key, x: mix(ways, key, x, first))(KEY, x)


def swapped(x):
    x = np.asarray(x)
    return x[np.arange(len(x)) ^ 1]


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_mixup_is_the_weighted_mean_of_the_pair(shape):
    x = normal(shape)
    mixed, shares = run(["mixup(0.4)"], x)
    s = np.asarray(shares).reshape(-1, *[1] * (x.ndim - 1))
    np.testing.assert_allclose(mixed, s * x + (1 - s) * swapped(x), 1e-5, 1e-5)
    np.testing.assert_array_equal(shares, swapped(shares))
    assert len({*shares.tolist()}) == 4


@pytest.mark.parametrize("shape", SHAPES)
def test_cutmix_takes_a_box_of_the_other_and_counts_its_pixels(shape):
    x = normal(shape)
    mixed, shares = run(["cutmix"], x)
    own = np.asarray(jnp.isclose(mixed, x, atol=1e-5).all(-1))
    other = np.asarray(jnp.isclose(mixed, swapped(x), atol=1e-5).all(-1))
    assert (own ^ other).all()
    np.testing.assert_allclose(shares, own.reshape(len(x), -1).mean(1), rtol=1e-6)
    for inside in other:
        box = [
            np.flatnonzero(inside.any(tuple({*range(inside.ndim)} - {axis})))
            for axis in range(inside.ndim)
        ]
        assert inside[np.ix_(*box)].all()
        assert all(np.all(np.diff(places) == 1) for places in box)


def test_shares_follow_the_beta_distribution():
    x = jnp.zeros((8000, 2, 2, 1))
    _, shares = run(["mixup(0.5)"], x)
    shares = np.asarray(shares)[::2]
    # Beta(1/2, 1/2) is the arcsine distribution.
    quantiles = np.sin(np.pi / 2 * np.array([0.25, 0.5, 0.75])) ** 2
    np.testing.assert_allclose(np.quantile(shares, [0.25, 0.5, 0.75]), quantiles, 0.2)


@pytest.mark.slow
def test_each_pair_gets_one_of_the_ways():
    x = normal((400, 6, 6, 1))
    mixed, _ = run(["mixup(1)", "cutmix(1)"], x)
    boxes = np.asarray(
        (
            jnp.isclose(mixed, x, atol=1e-6) | jnp.isclose(mixed, swapped(x), atol=1e-6)
        ).all((1, 2, 3))
    )
    assert 150 < boxes.sum() < 250


@pytest.mark.slow
def test_a_divided_batch_is_mixed_in_the_same_way():
    x = normal((12, 7, 5, 3))
    ways = [make_augmentation("mixup"), make_augmentation("cutmix")]
    divided = jax.jit(lambda x, first: mix(ways, KEY, x, first))
    whole, shares = divided(x, 0)
    for first in (0, 4, 8):
        part, some = divided(x[first : first + 4], first)
        np.testing.assert_array_equal(part, whole[first : first + 4])
        np.testing.assert_array_equal(some, shares[first : first + 4])


def test_the_loss_is_that_of_the_mixed_target():
    logits, labels = normal((6, 5)), jnp.array([0, 3, 1, 1, 4, 2])
    s = jnp.array([0.2, 0.2, 0.7, 0.7, 1.0, 1.0])
    one_hot = jax.nn.one_hot(labels, 5)
    target = s[:, None] * one_hot + (1 - s[:, None]) * swapped(one_hot)
    expected = optax.softmax_cross_entropy(logits, target)
    loss = ops.softmax_cross_entropy
    found = s * loss(logits, labels) + (1 - s) * loss(logits, partner(labels))
    np.testing.assert_allclose(found, expected, 1e-5)


def test_an_odd_number_leaves_one_without_a_partner():
    with pytest.raises(ConfigError, match="each device gets 5 at a time"):
        mix([make_augmentation("mixup")], KEY, normal((5, 4, 4, 1)), 0)


@pytest.mark.parametrize("text", ["mixup(0)", "cutmix(-1)", "mixup(x)", "mixup(1, 2)"])
def test_bad_arguments_are_refused(text):
    with pytest.raises(ConfigError, match=r"alpha|wrong arguments"):
        make_augmentation(text)
