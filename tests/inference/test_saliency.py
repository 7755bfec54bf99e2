"""Maps of importance, against finite differences, sums, and NumPy by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import layers as nn
from cnnjax.errors import ConfigError
from cnnjax.inference.saliency import grad_cam, integrated_gradients, saliency

pytestmark = pytest.mark.usefixtures("x64")
X = np.random.default_rng(0).standard_normal((2, 4, 5, 3))
CLASSES = jnp.array([1, 0])


class Net(nn.Module):
    """A convolution, an activation, the mean of the positions, and two logits."""

    activation: str = "relu"

    @nn.compact
    def __call__(self, x, train):
        y = nn.Conv(6, (1, 1))(x)
        if self.activation:
            y = getattr(nn, self.activation)(y)
        return nn.Dense(2)(y.mean((1, 2)))


class Pixels(nn.Module):
    """Three logits at each pixel."""

    @nn.compact
    def __call__(self, x, train):
        return nn.Conv(3, (1, 1))(x)


def start(model, x=X):
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), x, train=False))
    draw = np.random.default_rng(1).standard_normal
    return jax.tree.map(lambda a: jnp.asarray(draw(a.shape)), shapes)


def test_saliency_is_the_slope_that_finite_differences_give():
    model = Net("tanh")
    variables = start(model)

    @jax.jit
    def logits(x):
        return model.apply(variables, x, train=False)

    expected = np.zeros(X.shape)
    for place in np.ndindex(X.shape[1:]):
        moved = np.zeros(X.shape)
        moved[:, *place] = 1e-5
        slopes = (logits(X + moved) - logits(X - moved)) / 2e-5
        expected[:, *place] = slopes[np.arange(2), CLASSES]
    found = saliency(model, variables, jnp.asarray(X), CLASSES)
    np.testing.assert_allclose(found, np.abs(expected).max(-1), rtol=1e-6, atol=1e-9)
    largest = jnp.argmax(logits(X), axis=-1)
    np.testing.assert_array_equal(
        saliency(model, variables, X), saliency(model, variables, X, largest)
    )


def test_integrated_gradients_sum_to_the_difference_of_the_logits():
    model = Net("tanh")
    variables, black = start(model), jnp.full((1, 1, 1, 3), -0.5)
    errors = []
    for steps in (8, 16):
        found = integrated_gradients(model, variables, X, black, CLASSES, steps=steps)
        np.testing.assert_allclose(found.values.sum((1, 2, 3)), found.sums)
        errors.append(np.abs(found.sums - found.differences))
    logits = [
        model.apply(variables, x, train=False)[np.arange(2), CLASSES]
        for x in (X, np.full(X.shape, -0.5))
    ]
    np.testing.assert_allclose(found.differences, logits[0] - logits[1])
    np.testing.assert_allclose(found.sums, found.differences, atol=1e-3)
    assert (errors[1] < errors[0] / 3).all()  # the rule of middles is of second order


def test_integrated_gradients_of_a_linear_network_are_weights_times_inputs():
    model = Net("")
    variables = start(model)
    params = variables["params"]
    kernel = params["Conv_0"]["kernel"][0, 0] @ params["Dense_0"]["kernel"]
    found = integrated_gradients(model, variables, X, jnp.ones(3), CLASSES, steps=1)
    expected = (X - 1) * np.asarray(kernel).T[np.asarray(CLASSES)][:, None, None] / 20
    np.testing.assert_allclose(found.values, expected)


@pytest.mark.parametrize("activation", ["relu", ""])
def test_grad_cam_is_that_of_numpy(activation):
    model = Net(activation)
    variables = start(model)
    params = jax.tree.map(np.asarray, variables["params"])
    y = X @ params["Conv_0"]["kernel"][0, 0] + params["Conv_0"]["bias"]
    weights = params["Dense_0"]["kernel"].T[np.asarray(CLASSES)][:, None, None]
    slopes = np.broadcast_to(weights / 20, y.shape)
    if activation:
        slopes, y = slopes * (y > 0), np.maximum(y, 0)
    expected = np.maximum((slopes.mean((1, 2), keepdims=True) * y).sum(-1), 0)
    found = grad_cam(model, variables, X, "Conv_0", CLASSES)
    np.testing.assert_allclose(found, expected)
    assert 0 < (expected == 0).mean() < 1
    np.testing.assert_array_equal(found, grad_cam(model, variables, X, None, CLASSES))


def test_grad_cam_shows_the_place_that_decides():
    """One channel of the first class, bright in one place, and one of the second."""
    model = Net()
    x = np.zeros((1, 4, 5, 3))
    x[0, 1, 2, 0], x[0, 3, 4, 1] = 2, 1
    variables = jax.tree.map(np.zeros_like, start(model))
    variables["params"]["Conv_0"]["kernel"][0, 0, [0, 1], [0, 1]] = 1
    variables["params"]["Dense_0"]["kernel"][[0, 1], [0, 1]] = 1
    expected = np.zeros((1, 4, 5))
    expected[0, 1, 2] = 2 / 20 / 20  # the mean of one slope of 1/20, times the output
    np.testing.assert_allclose(grad_cam(model, variables, x), expected)


def test_errors_name_the_value():
    model = Net()
    variables = start(model)
    with pytest.raises(ConfigError, match="unknown layer 'Conv_1'; did you mean 'Con"):
        grad_cam(model, variables, X, "Conv_1")
    with pytest.raises(ConfigError, match=r"'Dense_0' gives .* \(2,\), which has no p"):
        grad_cam(model, variables, X, "Dense_0")
    with pytest.raises(ValueError, match=r"shape of classes is \(3,\), expected \(2,"):
        saliency(model, variables, X, jnp.array([0, 1, 0]))
    with pytest.raises(ValueError, match="steps is 0, expected 1 or more"):
        integrated_gradients(model, variables, X, jnp.zeros(3), steps=0)
    with pytest.raises(ConfigError, match=r"outputs of shape \(2, 4, 5, 3\), expected"):
        saliency(Pixels(), Pixels().init(jax.random.key(0), X, train=False), X)
