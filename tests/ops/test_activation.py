"""Activations and their gradients against JAX's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from tests import reference
from tests.support.ops.closeness import values_and_gradients

PAIRS = [
    pytest.param(ops.relu, jax.nn.relu, id="relu"),
    pytest.param(ops.relu6, jax.nn.relu6, id="relu6"),
    pytest.param(ops.sigmoid, jax.nn.sigmoid, id="sigmoid"),
    pytest.param(ops.tanh, jnp.tanh, id="tanh"),
    pytest.param(ops.silu, jax.nn.silu, id="silu"),
    pytest.param(ops.hard_sigmoid, jax.nn.hard_sigmoid, id="hard_sigmoid"),
    pytest.param(ops.hard_swish, jax.nn.hard_swish, id="hard_swish"),
    pytest.param(ops.gelu, jax.nn.gelu, id="gelu"),
    pytest.param(ops.softmax, jax.nn.softmax, id="softmax"),
    pytest.param(ops.log_softmax, jax.nn.log_softmax, id="log_softmax"),
]
EXTREME = np.array([[-1e4, -40, -1e-9, 0], [0, 1e-9, 40, 1e4], [1e4, 1e4, -1e4, 5]])


@pytest.mark.parametrize(("ours", "stock"), PAIRS)
def test_value_and_two_derivatives_equal_autodiff(ours, stock, x64):
    x = np.random.default_rng(0).standard_normal((3, 2, 5))
    dy = jnp.cos(jnp.arange(x.size).reshape(x.shape))

    def derivatives(function, x):
        def once(x):
            return jax.vjp(function, x)[1](dy)[0]

        return function(x), once(x), jax.vjp(once, x)[1](dy)[0]

    both = jax.jit(lambda x: [derivatives(f, x) for f in (ours, stock)])(x)
    for a, b in zip(*both, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("ours", "stock"), PAIRS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float64])
def test_extreme_inputs_stay_finite_and_keep_their_dtype(ours, stock, dtype, x64):
    x = jnp.asarray(EXTREME, dtype)
    results = values_and_gradients((ours, stock), np.ones_like(x), x)
    (y, dx), (expected, expected_dx) = results
    eps = float(jnp.finfo(dtype).eps)
    assert y.dtype == dx.dtype == dtype
    for a, b in ((y, expected), (dx, expected_dx)):
        assert np.isfinite(a.astype(float)).all()
        # 1 - y rounds once where y is near 1; four values a row are summed.
        np.testing.assert_allclose(
            a.astype(float), b.astype(float), rtol=eps, atol=4 * eps
        )


def test_relu_is_flat_at_zero():
    x = jnp.asarray([-1.0, -0.0, 0.0, 1.0, jnp.nan])
    np.testing.assert_array_equal(
        jax.grad(lambda x: ops.relu(x).sum())(x)[:4], [0, 0, 0, 1]
    )
    assert jnp.isnan(ops.relu(x)[4])


def test_relu6_is_flat_at_both_ends():
    x = jnp.asarray([-1.0, 0.0, 1.0, 6.0, 7.0])
    np.testing.assert_array_equal(ops.relu6(x), [0, 0, 1, 6, 6])
    slopes = jax.grad(lambda x: ops.relu6(x).sum())(x)
    np.testing.assert_array_equal(slopes, [0, 0, 1, 0, 0])


def test_hard_activations_are_straight_lines_with_kinks():
    x = jnp.asarray([-4.0, -3.0, -1.5, 0.0, 1.5, 3.0, 4.0])
    np.testing.assert_array_equal(ops.hard_sigmoid(x), [0, 0, 0.25, 0.5, 0.75, 1, 1])
    slopes = jax.grad(lambda x: ops.hard_sigmoid(x).sum())(x)
    np.testing.assert_array_equal(slopes > 0, [0, 0, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(slopes[2:5], np.full(3, 1 / 6, np.float32))
    y = [0, 0, -0.375, 0, 1.125, 3, 4]
    np.testing.assert_array_equal(ops.hard_swish(x), y)
    slopes = jax.grad(lambda x: ops.hard_swish(x).sum())(x)
    np.testing.assert_allclose(slopes, [0, 0, 0, 0.5, 1, 1, 1])


def test_softmax_sums_to_one_and_shifts_do_not_matter(x64):
    x = np.random.default_rng(0).standard_normal((2, 7))
    np.testing.assert_allclose(ops.softmax(x), reference.softmax(x), rtol=1e-13)
    np.testing.assert_allclose(ops.softmax(x + 1e6), ops.softmax(x), rtol=1e-9)
    np.testing.assert_allclose(ops.softmax(x).sum(-1), 1, rtol=1e-14)


def test_a_class_at_minus_infinity_has_probability_zero():
    x = jnp.asarray([1.0, -jnp.inf, 2.0])
    assert ops.softmax(x)[1] == 0
    assert ops.log_softmax(x)[1] == -jnp.inf
    dx = jax.grad(lambda x: ops.log_softmax(x)[0])(x)
    np.testing.assert_allclose(
        dx, jax.grad(lambda x: jax.nn.log_softmax(x)[0])(x), rtol=1e-6
    )


@pytest.mark.parametrize(("ours", "stock"), PAIRS)
def test_vmap_of_the_gradient(ours, stock):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((4, 3)), jnp.float32)

    def gradient(function, x):
        return jax.vmap(jax.grad(lambda x: jnp.sum(function(x) ** 2)))(x)

    both = jax.jit(lambda x: [gradient(f, x) for f in (ours, stock)])(x)
    np.testing.assert_allclose(*both, rtol=1e-5, atol=1e-6)
