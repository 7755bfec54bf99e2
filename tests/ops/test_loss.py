"""Losses and their gradients against NumPy and against autodiff of the formula."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnnjax import ops
from tests import reference

EXACTLY = {"rtol": 1e-12, "atol": 1e-13}
SHAPE = (2, 3, 5)


@pytest.fixture
def logits(x64):
    return jnp.asarray(np.random.default_rng(0).standard_normal(SHAPE))


def value_and_gradients(loss, *args):
    @jax.jit
    def run(*args):
        value, vjp = jax.vjp(loss, *args)
        dloss = jnp.cos(jnp.arange(value.size, dtype=value.dtype)).reshape(value.shape)
        return value, vjp(dloss), dloss

    value, gradients, dloss = run(*args)
    return value, gradients, np.asarray(dloss)


def soft_targets(rows_sum_to_one=True):
    weights = np.random.default_rng(1).random(SHAPE)
    return weights / weights.sum(-1, keepdims=True) if rows_sum_to_one else weights


NUMBERS = np.array([[0, 4, 2], [3, 3, 1]])
ONE_HOT = np.eye(5)[NUMBERS]


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(
    ("labels", "targets"),
    [
        pytest.param(NUMBERS, ONE_HOT, id="numbers"),
        pytest.param(NUMBERS.astype(np.uint8), ONE_HOT, id="small numbers"),
        pytest.param(ONE_HOT.astype(int), ONE_HOT, id="one-hot, whole"),
        pytest.param(ONE_HOT.astype(bool), ONE_HOT, id="one-hot, yes or no"),
        pytest.param(ONE_HOT, ONE_HOT, id="one-hot, floating"),
        pytest.param(soft_targets(), soft_targets(), id="soft"),
        pytest.param(soft_targets(False), soft_targets(False), id="any weights"),
    ],
)
def test_softmax_cross_entropy_equals_numpy(logits, labels, targets, smoothing):
    value, (dlogits,), dloss = value_and_gradients(
        lambda z: ops.softmax_cross_entropy(
            z, jnp.asarray(labels), label_smoothing=smoothing
        ),
        logits,
    )
    targets = (1 - smoothing) * targets + smoothing / 5
    z = np.asarray(logits)
    np.testing.assert_allclose(
        value, reference.softmax_cross_entropy(z, targets), **EXACTLY
    )
    np.testing.assert_allclose(
        dlogits, reference.softmax_cross_entropy_gradient(z, targets, dloss), **EXACTLY
    )


def stock_softmax_cross_entropy(logits, targets):
    return -jnp.sum(targets * jax.nn.log_softmax(logits), axis=-1)


def test_both_gradients_and_theirs_equal_autodiff(logits):
    """Weights that do not sum to one, as a teacher's or a mixture's may."""
    targets, v = jnp.asarray(soft_targets(False)), jnp.sin(logits)

    def derivatives(loss, *args):
        def along(z, t):
            dz, dt = jax.grad(lambda z, t: jnp.sum(loss(z, t) ** 2), (0, 1))(z, t)
            return jnp.vdot(dz, v) + jnp.vdot(dt, v)

        return loss(*args), jax.grad(along, (0, 1))(*args)

    losses = ops.softmax_cross_entropy, stock_softmax_cross_entropy
    ours, stock = jax.jit(lambda *args: [derivatives(f, *args) for f in losses])(
        logits, targets
    )
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(stock), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


def test_equals_optax(logits):
    for ours, theirs, labels in [
        (ops.softmax_cross_entropy, optax.losses.softmax_cross_entropy, ONE_HOT),
        (
            ops.softmax_cross_entropy_with_integer_labels,
            optax.losses.softmax_cross_entropy_with_integer_labels,
            NUMBERS,
        ),
        (
            ops.sigmoid_binary_cross_entropy,
            optax.losses.sigmoid_binary_cross_entropy,
            ONE_HOT,
        ),
    ]:
        labels = jnp.asarray(labels)
        a, (da,), _ = value_and_gradients(lambda z, f=ours, t=labels: f(z, t), logits)
        b, (db,), _ = value_and_gradients(lambda z, f=theirs, t=labels: f(z, t), logits)
        np.testing.assert_allclose(a, b, **EXACTLY)
        np.testing.assert_allclose(da, db, **EXACTLY)


@pytest.mark.parametrize("labels", [ONE_HOT.astype(int), soft_targets()])
def test_sigmoid_cross_entropy_equals_numpy(logits, labels):
    targets = jnp.asarray(labels)
    value, (dlogits,), dloss = value_and_gradients(
        lambda z: ops.sigmoid_binary_cross_entropy(z, targets), logits
    )
    z = np.asarray(logits)
    expected = reference.sigmoid_binary_cross_entropy(z, labels)
    np.testing.assert_allclose(value, expected, **EXACTLY)
    np.testing.assert_allclose(
        dlogits, dloss * (reference.sigmoid(z) - labels), **EXACTLY
    )


def test_sigmoid_cross_entropy_is_linear_in_its_targets(logits):
    targets = jnp.asarray(soft_targets())
    _, (_, dtargets), dloss = value_and_gradients(
        ops.sigmoid_binary_cross_entropy, logits, targets
    )
    np.testing.assert_allclose(dtargets, -dloss * logits, **EXACTLY)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_extreme_logits_give_exact_losses(dtype):
    """The losses are 0, 1e4 or 2e4 up to the rounding of 1e4 itself."""
    logits = jnp.asarray([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4]], dtype)
    numbers = jnp.asarray([0, 0, 1])
    big = float(logits[0, 0])
    value, (dlogits,), dloss = value_and_gradients(
        lambda z: ops.softmax_cross_entropy(z, numbers), logits
    )
    assert value.dtype == dlogits.dtype == dtype
    np.testing.assert_allclose(
        value.astype(float), [0, 2 * big, np.log(2)], rtol=float(jnp.finfo(dtype).eps)
    )
    expected = dloss[:, None].astype(float) * [[0, 0], [-1, 1], [0.5, -0.5]]
    np.testing.assert_array_equal(dlogits.astype(float), expected)

    yes = jnp.asarray([[1, 1], [1, 0], [0, 1]])
    value, (dlogits,), dloss = value_and_gradients(
        lambda z: ops.sigmoid_binary_cross_entropy(z, yes), logits
    )
    assert value.dtype == dlogits.dtype == dtype
    np.testing.assert_array_equal(value.astype(float), [[0, big], [big, big], [big, 0]])
    np.testing.assert_array_equal(
        dlogits.astype(float), dloss.astype(float) * [[0, -1], [-1, 1], [1, 0]]
    )


def test_a_class_without_weight_may_lie_at_minus_infinity():
    logits = jnp.asarray([[1.0, -jnp.inf, 2.0]])
    for labels in (jnp.asarray([2]), jnp.asarray([[0.0, 0.0, 1.0]])):
        value, (dlogits,), _ = value_and_gradients(
            lambda z, t=labels: ops.softmax_cross_entropy(z, t), logits
        )
        p = 1 / (1 + np.exp(1))
        np.testing.assert_allclose(value, [-np.log(1 - p)], rtol=1e-6)
        np.testing.assert_allclose(dlogits, [[p, 0, -p]], rtol=1e-6)
    impossible = ops.softmax_cross_entropy(logits, jnp.asarray([1]))
    np.testing.assert_array_equal(impossible, [jnp.inf])


@pytest.mark.slow
def test_vmap_is_a_batch(logits):
    numbers = jnp.asarray(NUMBERS)
    gradient = jax.grad(lambda z, t: ops.softmax_cross_entropy(z, t).sum())
    np.testing.assert_allclose(
        jax.vmap(jax.vmap(gradient))(logits, numbers),
        gradient(logits, numbers),
        **EXACTLY,
    )


Z, T = jnp.zeros((2, 3)), jnp.zeros((2,), int)
CE, INTEGER, BCE = (
    ops.softmax_cross_entropy,
    ops.softmax_cross_entropy_with_integer_labels,
    ops.sigmoid_binary_cross_entropy,
)


@pytest.mark.parametrize(
    ("loss", "args", "options", "message"),
    [
        (CE, (Z, jnp.zeros(3, int)), {}, r"\(3,\) and logits have shape \(2, 3\)"),
        (CE, (Z, jnp.zeros((2, 4))), {}, r"shape \(2, 4\)"),
        (CE, (Z, jnp.zeros(2)), {}, "class numbers are float32"),
        (CE, (Z, T), {"label_smoothing": 1.5}, "label_smoothing is 1.5"),
        (CE, (Z, T), {"label_smoothing": -0.1}, "label_smoothing is -0.1"),
        (CE, (Z.astype(int), T), {}, "logits are int32"),
        (INTEGER, (Z, jnp.zeros(2)), {}, "labels are float32"),
        (BCE, (Z, T), {}, r"shape \(2,\), expected \(2, 3\), the shape of the logits"),
        (BCE, (Z.astype(int), Z), {}, "logits are int32"),
    ],
)
def test_refuses_with_the_values_in_the_message(loss, args, options, message):
    with pytest.raises(ValueError, match=message):
        loss(*args, **options)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_class_that_does_not_exist_has_no_loss(label):
    loss = ops.softmax_cross_entropy(jnp.zeros((2, 3)), jnp.array([label, 1]))
    assert np.isnan(loss[0])
    assert np.isfinite(loss[1])
