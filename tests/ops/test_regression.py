"""Losses of regression against NumPy and Optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnnjax import ops

RNG = np.random.default_rng(0)
PREDICTIONS, TARGETS = 2 * RNG.standard_normal((2, 3, 5))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (ops.squared_error, optax.losses.squared_error),
        (
            lambda p, t: ops.huber_loss(p, t, delta=0.7),
            lambda p, t: optax.losses.huber_loss(p, t, delta=0.7),
        ),
        (ops.huber_loss, optax.losses.huber_loss),
    ],
)
def test_values_and_gradients_equal_optax(x64, ours, theirs):
    found, pull = jax.vjp(ours, PREDICTIONS, TARGETS)
    wanted, stock = jax.vjp(theirs, PREDICTIONS, TARGETS)
    np.testing.assert_allclose(found, wanted, rtol=1e-14)
    dloss = jnp.cos(jnp.arange(15.0)).reshape(3, 5)
    for one, other in zip(pull(dloss), stock(dloss), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_huber_loss_is_half_the_squared_error_near_0_and_linear_beyond():
    errors = np.array([0.0, 0.5, -2.0, 10.0], np.float32)
    found = ops.huber_loss(errors, np.zeros(4), delta=2.0)
    np.testing.assert_array_equal(found, [0, 0.125, 2, 18])
    slope = jax.grad(lambda p: ops.huber_loss(p, np.zeros(4), delta=2.0).sum())(errors)
    np.testing.assert_array_equal(slope, [0, 0.5, -2, 2])


def test_second_derivatives_stay_within_the_set(x64):
    def total(p):
        return ops.squared_error(p, TARGETS).sum()

    hessian = jax.jacrev(jax.grad(total))(PREDICTIONS).reshape(15, 15)
    np.testing.assert_allclose(hessian, 2 * np.eye(15))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ops.squared_error(PREDICTIONS, TARGETS[0]),
            r"targets have .* \(5,\), expected \(3, 5\), the shape of the predictions",
        ),
        (
            lambda: ops.huber_loss(np.arange(3), np.arange(3)),
            "predictions are int",
        ),
        (
            lambda: ops.huber_loss(PREDICTIONS, TARGETS, delta=0.0),
            "delta is 0.0, expected a number above 0",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
