"""Focal losses against NumPy in float64, Optax, and autodiff of the formula."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnnjax import ops

RNG = np.random.default_rng(0)
LOGITS = 3 * RNG.standard_normal((2, 3, 5))
NUMBERS = np.array([[0, 4, 2], [3, 3, 1]])
SOFT = RNG.random((2, 3, 5))
YES = RNG.integers(0, 2, (2, 3, 5))
GAMMAS = [0.0, 0.5, 1.0, 2.0, 3.5]


def softmax_focal(logits, targets, gamma):
    """The formula as in the paper, to be differentiated by JAX."""
    p = jax.nn.softmax(logits)
    return -jnp.sum(targets * (1 - p) ** gamma * jnp.log(p), axis=-1)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("labels", [NUMBERS, SOFT], ids=["numbers", "soft"])
def test_softmax_focal_loss_equals_the_formula(x64, labels, gamma):
    targets = np.eye(5)[labels] if labels.ndim == 2 else labels
    found, pull = jax.vjp(
        lambda z: ops.softmax_focal_loss(z, labels, gamma=gamma), LOGITS
    )
    wanted, stock = jax.vjp(lambda z: softmax_focal(z, targets, gamma), LOGITS)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    dloss = jnp.cos(jnp.arange(6.0)).reshape(2, 3)
    np.testing.assert_allclose(pull(dloss)[0], stock(dloss)[0], rtol=1e-10, atol=1e-13)


def test_softmax_focal_loss_has_a_gradient_in_its_labels(x64):
    _, pull = jax.vjp(lambda t: ops.softmax_focal_loss(LOGITS, t), SOFT)
    _, stock = jax.vjp(lambda t: softmax_focal(LOGITS, t, 2.0), SOFT)
    np.testing.assert_allclose(
        pull(jnp.ones((2, 3)))[0], stock(jnp.ones((2, 3)))[0], rtol=1e-12
    )


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("alpha", [None, 0.25])
@pytest.mark.parametrize("labels", [YES, SOFT], ids=["yes or no", "soft"])
def test_sigmoid_focal_loss_equals_optax(x64, labels, alpha, gamma):
    labels = labels.astype(float)

    def ours(z, t):
        return ops.sigmoid_focal_loss(z, t, alpha=alpha, gamma=gamma)

    def formula(z, t):
        p = jax.nn.sigmoid(z)
        loss = -t * jnp.log(p) - (1 - t) * jnp.log(1 - p)
        weight = 1 if alpha is None else alpha * t + (1 - alpha) * (1 - t)
        return weight * (p + t - 2 * p * t) ** gamma * loss

    found, pull = jax.vjp(ours, LOGITS, labels)
    optaxs = optax.losses.sigmoid_focal_loss(LOGITS, labels, alpha=alpha, gamma=gamma)
    np.testing.assert_allclose(found, optaxs, rtol=1e-12)
    # The gradient that Optax gives for labels of exactly 0 or 1 lacks a term.
    _, stock = jax.vjp(formula, LOGITS, labels)
    dloss = jnp.cos(jnp.arange(30.0)).reshape(2, 3, 5)
    for one, other in zip(pull(dloss), stock(dloss), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-13)


@pytest.mark.slow
def test_gamma_0_is_cross_entropy():
    logits = LOGITS.astype(np.float32)
    np.testing.assert_allclose(
        ops.softmax_focal_loss(logits, NUMBERS, gamma=0.0, label_smoothing=0.1),
        ops.softmax_cross_entropy(logits, NUMBERS, label_smoothing=0.1),
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        ops.sigmoid_focal_loss(logits, YES, gamma=0.0),
        ops.sigmoid_binary_cross_entropy(logits, YES),
        rtol=1e-5,
    )


@pytest.mark.slow
@pytest.mark.parametrize("gamma", GAMMAS)
def test_extreme_logits_give_finite_values_and_gradients(gamma):
    logits = np.array([[200.0, -200, 0, 1e4, -1e4]], np.float32)
    for label in range(5):
        value, slope = jax.value_and_grad(
            lambda z, y=label: ops.softmax_focal_loss(
                z, jnp.array([y]), gamma=gamma
            ).sum()
        )(logits)
        assert np.isfinite(value) and np.isfinite(slope).all()
    for labels in (np.zeros((1, 5)), np.ones((1, 5))):
        value, slope = jax.value_and_grad(
            lambda z, t=labels: ops.sigmoid_focal_loss(z, t, gamma=gamma).sum()
        )(logits)
        assert np.isfinite(value) and np.isfinite(slope).all()


@pytest.mark.slow
def test_a_logit_of_minus_infinity_is_a_class_that_cannot_be():
    logits = jnp.array([[1.0, 2.0, -jnp.inf]])
    value, slope = jax.value_and_grad(
        lambda z: ops.softmax_focal_loss(z, jnp.array([0])).sum()
    )(logits)
    wanted, wanted_slope = jax.value_and_grad(
        lambda z: ops.softmax_focal_loss(z, jnp.array([0])).sum()
    )(logits[:, :2])
    assert value == wanted
    np.testing.assert_array_equal(slope[:, :2], wanted_slope)
    assert slope[0, 2] == 0


@pytest.mark.slow
def test_ignored_labels_give_no_loss_and_no_gradient():
    logits = LOGITS[0].astype(np.float32)
    labels = jnp.array([1, -1, 2])

    def total(function):
        return jax.value_and_grad(lambda z: function(z, labels, ignore_index=-1).sum())(
            logits
        )

    for function in (ops.softmax_cross_entropy, ops.softmax_focal_loss):
        value, slope = total(function)
        some = float(function(logits[::2], labels[::2]).sum())
        assert value == pytest.approx(some, rel=1e-6)
        assert not slope[1].any() and slope[0].any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ops.softmax_focal_loss(LOGITS, NUMBERS, gamma=-1.0),
            "gamma is -1.0, expected 0 or more",
        ),
        (
            lambda: ops.sigmoid_focal_loss(LOGITS, YES, alpha=2.0),
            "alpha is 2.0, expected 0 to 1, or None",
        ),
        (
            lambda: ops.sigmoid_focal_loss(LOGITS, NUMBERS),
            r"labels have .* \(2, 3\), expected \(2, 3, 5\), the shape of the logits",
        ),
        (
            lambda: ops.softmax_cross_entropy(LOGITS, SOFT, ignore_index=-1),
            "expected class numbers; give an example the weight 0",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
