"""Dropout: what is kept, what it grows by, and that its gradient uses that mask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from tests import reference

KEY = jax.random.key(0)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_value_and_gradient_use_one_mask(dtype):
    x = jnp.asarray(np.random.default_rng(0).uniform(1, 2, (3, 4, 5)), dtype)
    y, vjp = jax.vjp(lambda x: ops.dropout(KEY, x, 0.25), x)
    dy = jnp.cos(jnp.arange(x.size, dtype=dtype)).reshape(x.shape)
    (dx,) = vjp(dy)
    mask = np.asarray(y != 0)
    assert 0 < mask.mean() < 1
    assert y.dtype == dx.dtype == dtype
    eps = float(jnp.finfo(dtype).eps)
    for actual, given in ((y, x), (dx, dy)):
        expected = reference.dropout(np.asarray(given, float), mask, 0.25)
        np.testing.assert_allclose(actual.astype(float), expected, rtol=eps)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_keeps_the_mean(rate):
    """Within 5 standard deviations of the mean of n bernoullis over 1 - rate."""
    n = 40_000
    y = ops.dropout(KEY, jnp.ones(n), rate)
    deviation = np.sqrt(rate / (1 - rate) / n)
    assert abs(y.mean() - 1) < 5 * deviation
    assert abs((y == 0).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / n)


@pytest.mark.parametrize(("rate", "kept"), [(0, 1), (0.0, 1), (1, 0), (1.0, 0)])
def test_rates_of_none_and_all(rate, kept):
    x = jnp.arange(1.0, 4)
    y, vjp = jax.vjp(lambda x: ops.dropout(KEY, x, rate), x)
    np.testing.assert_array_equal(y, kept * x)
    np.testing.assert_array_equal(vjp(x)[0], kept * x)


@pytest.mark.parametrize("axes", [(1,), (0, -1), (1, 2)])
def test_one_decision_holds_along_the_broadcast_axes(axes):
    y = np.asarray(ops.dropout(KEY, jnp.ones((4, 5, 6)), 0.5, broadcast_dims=axes))
    first = y.take([0], axis=axes[0]).take([0], axis=axes[1] if axes[1:] else axes[0])
    np.testing.assert_array_equal(y, np.broadcast_to(first, y.shape))
    assert 0 < (y == 0).mean() < 1


def test_it_is_linear_so_its_second_derivative_follows(x64):
    x = jnp.arange(1.0, 7)
    y = ops.dropout(KEY, x, 0.5)
    second = jax.grad(
        lambda x: jnp.sum(jax.grad(lambda x: jnp.sum(ops.dropout(KEY, x, 0.5) ** 3))(x))
    )(x)
    np.testing.assert_allclose(second, 6 * y * 4, rtol=1e-12)


def test_vmap_over_keys_is_a_loop():
    keys, x = jax.random.split(KEY, 3), jnp.ones((3, 8))
    gradient = jax.grad(lambda key, x: jnp.sum(ops.dropout(key, x, 0.5) ** 2), 1)
    mapped = jax.vmap(gradient)(keys, x)
    for n in range(3):
        np.testing.assert_array_equal(mapped[n], gradient(keys[n], x[n]))


def test_a_rate_of_numpys_does_not_widen_the_values():
    x = jnp.ones(64, jnp.bfloat16)
    y = ops.dropout(KEY, x, np.float32(0.5))
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, ops.dropout(KEY, x, 0.5))


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_refuses_a_rate_that_is_no_probability(rate):
    with pytest.raises(ValueError, match=f"rate is {rate}, expected 0 to 1"):
        ops.dropout(KEY, jnp.ones(3), rate)
