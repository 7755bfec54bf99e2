"""Stochastic depth: whole examples, scaled up, and only in training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import layers as nn

KEY = jax.random.key(0)


def run(x, rate=0.25, deterministic=False):
    return nn.StochasticDepth(rate, deterministic).apply({}, x, rngs={"dropout": KEY})


def test_an_example_is_dropped_whole_or_scaled_up():
    x = np.random.default_rng(0).standard_normal((400, 3, 2), np.float32)
    y = run(x)
    kept = np.asarray((y != 0).any((1, 2)))
    np.testing.assert_allclose(y, x * kept[:, None, None] / 0.75, rtol=1e-6)
    assert kept.mean() == pytest.approx(0.75, abs=0.07)


def test_its_gradient_has_the_same_mask():
    x = jnp.ones((20, 3))
    y, pull = jax.vjp(run, x)
    np.testing.assert_array_equal(pull(2 * x)[0], 2 * y)


@pytest.mark.parametrize("options", [{"deterministic": True}, {"rate": 0.0}])
def test_nothing_is_dropped_in_evaluation_or_at_rate_0(options):
    x = jnp.ones((4, 2))
    np.testing.assert_array_equal(run(x, **options), x)
