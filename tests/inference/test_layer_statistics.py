"""The table of layers, against NumPy."""

import jax
import numpy as np
import pytest

from cnnjax import layers as nn
from cnnjax.inference.layer_outputs import layer_outputs, output_gradients
from cnnjax.inference.layer_statistics import layer_statistics

X = np.random.default_rng(0).standard_normal((5, 4, 3, 2)).astype(np.float32)


class Block(nn.Module):
    """A convolution with ReLU."""

    @nn.compact
    def __call__(self, x):
        return nn.Conv(4, (1, 1)).and_relu(x)


class Net(nn.Module):
    """A block, and a dense layer that is called twice."""

    @nn.compact
    def __call__(self, x, train):
        y = Block()(x).mean((1, 2))
        dense = nn.Dense(4)
        return nn.Dense(2)(nn.relu(dense(nn.relu(dense(y)))))


@pytest.fixture(scope="module")
def variables():
    shapes = jax.eval_shape(lambda: Net().init(jax.random.key(0), X, train=False))
    draw = np.random.default_rng(1).standard_normal
    found = jax.tree.map(lambda a: draw(a.shape).astype(np.float32), shapes)
    params = found["params"]
    params["Block_0"]["Conv_0"]["bias"][2] = -100  # after its ReLU, this unit is zero
    params["Dense_1"]["kernel"][:, 1] = -params["Dense_1"]["kernel"][:, 0]
    params["Dense_0"] = jax.tree.map(abs, params["Dense_0"])  # all others live
    params["Dense_0"]["bias"][1] = -100  # no ReLU of its own, but one follows
    return found


def test_statistics_are_those_of_all_outputs(variables):
    table = layer_statistics(Net(), variables, X, batch_size=2)
    logits, outputs = layer_outputs(Net(), variables, X)
    names = ["Block_0.Conv_0", "Block_0", "Dense_0", "Dense_0 (call 2)", "Dense_1"]
    assert [row.layer for row in table] == list(outputs) == names
    np.testing.assert_array_equal(outputs["Dense_1"], logits)
    for row, y in zip(table, map(np.asarray, outputs.values()), strict=True):
        assert (row.shape, row.units) == (y.shape[1:], y.shape[-1])
        expected = y.mean(), y.std(), (y == 0).mean(), np.abs(y).max()
        found = row.mean, row.std, row.zeros, row.largest
        np.testing.assert_allclose(found, expected, rtol=1e-5, err_msg=row.layer)
    assert [row.dead for row in table] == [1, 1, 1, 1, 0]
    best = np.asarray(variables["params"]["Dense_1"]["kernel"])
    best = best.T[np.asarray(logits).argmax(-1)] * (outputs["Dense_0 (call 2)"] > 0)
    norms = np.linalg.norm(best, axis=-1)
    np.testing.assert_allclose(table[3].gradient_norm, norms.mean(), rtol=1e-5)
    assert table[-1].gradient_norm == 1


def test_gradients_of_outputs_are_those_of_autodiff(variables):
    outputs, (found,) = output_gradients(
        Net(), variables, X, [lambda logits: 1 + 0 * logits], ["Dense_0 (call 2)"]
    )
    assert list(outputs) == list(found) == ["Dense_0 (call 2)"]

    def rest(y):
        params = variables["params"]["Dense_1"]
        return (jax.nn.relu(y) @ params["kernel"] + params["bias"]).sum()

    expected = jax.grad(rest)(outputs["Dense_0 (call 2)"])
    np.testing.assert_allclose(found["Dense_0 (call 2)"], expected, rtol=1e-5)
