"""Planted wrong labels are found, and gradients are those of one example at a time."""

import jax
import numpy as np
import pytest

from cnnjax import ops
from cnnjax.data import Split, normalize
from cnnjax.errors import ConfigError, DataError
from cnnjax.inference.wrong_labels import (
    find_largest_losses,
    noise_scale,
    rank_labels,
)
from tests.support.inference.runs import make_split


@pytest.mark.parametrize("by", ["loss", "gradient"])
def test_wrong_labels_come_first(run, by):
    images, labels = make_split(70, seed=3)  # two batches
    planted = [4, 33, 69]
    labels[planted] = (labels[planted] + 1) % 3
    labels[10] = -1  # unknown
    ranked = rank_labels(run.trained, Split(images, labels), by)
    assert sorted(ranked.numbers[:3].tolist()) == planted
    assert sorted(ranked.numbers.tolist()) == [i for i in range(70) if i != 10]
    values = ranked.losses if by == "loss" else ranked.gradient_norms
    assert (np.diff(values) <= 0).all()
    if by == "gradient":
        check_against_single_gradients(run.trained, images, labels, ranked)


def test_the_largest_losses_are_the_first_of_the_ranking(run):
    images, labels = make_split(150, seed=5)  # three batches
    labels[[7, 8]] = (labels[7] + 1) % 3, -1
    ranked = rank_labels(run.trained, Split(images, labels))
    numbers, outputs, looked_at = find_largest_losses(
        run.trained, Split(images, labels), 12
    )
    np.testing.assert_array_equal(numbers, ranked.numbers[:12])
    np.testing.assert_allclose(outputs.losses, ranked.losses[:12], rtol=1e-4)
    np.testing.assert_allclose(outputs.logits, ranked.logits[:12], atol=1e-4)
    np.testing.assert_array_equal(outputs.labels, labels[numbers])
    assert looked_at == 149


def test_the_search_for_large_losses_is_bounded(run):
    split = make_split(200, seed=6)
    for bounds, expected in (({"most": 70}, 70), ({"seconds": 0.0}, 64)):
        numbers, _, looked_at = find_largest_losses(run.trained, split, 5, **bounds)
        assert (len(numbers), looked_at) == (5, expected)
    with pytest.raises(DataError, match="no training example has a known label"):
        find_largest_losses(run.trained, Split(split.images, np.full(200, -1)), 5)


def check_against_single_gradients(trained, images, labels, ranked):
    x = normalize(images, trained.description.normalization)

    def loss(params, image, label):
        variables = {**trained.variables, "params": params}
        logits = trained.model.apply(variables, image[None], train=False)
        return ops.softmax_cross_entropy(logits, label[None])[0]

    single = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0, 0)))
    numbers = ranked.numbers
    tree = single(trained.variables["params"], x[numbers], labels[numbers])
    rows = [np.asarray(a, float).reshape(len(a), -1) for a in jax.tree.leaves(tree)]
    gradients = np.concatenate(rows, axis=1)
    norms = np.linalg.norm(gradients, axis=1)
    np.testing.assert_allclose(ranked.gradient_norms, norms, rtol=1e-3, atol=1e-5)
    trace = gradients.var(axis=0, ddof=1).sum()
    square = np.square(gradients.mean(0)).sum() - trace / len(gradients)
    if square > 0:
        np.testing.assert_allclose(ranked.noise_scale, trace / square, rtol=1e-3)
    else:
        assert ranked.noise_scale is None


def test_the_noise_scale_is_that_of_known_gaussians():
    """Gradients (2, 1) plus noise of deviation 3 in both: 18 / 5."""
    noise = 3 * np.random.default_rng(0).standard_normal((100_000, 2))
    gradients = np.array([2, 1]) + noise
    square = np.square(gradients.mean(0)).sum()
    found = noise_scale(np.linalg.norm(gradients, axis=1), square)
    assert found == pytest.approx(18 / 5, rel=0.02)
    assert noise_scale(np.array([1.0, 1.0]), 0.1) is None  # mostly noise
    assert noise_scale(np.array([1.0]), 1.0) is None


def test_an_unknown_ranking_is_refused(run):
    with pytest.raises(ConfigError, match="unknown ranking 'los'; did you mean 'loss'"):
        rank_labels(run.trained, make_split(3), "los")
