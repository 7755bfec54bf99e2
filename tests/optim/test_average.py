"""The moving average of weights, against its formula in float64."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.optim import update_average


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_the_average_follows_its_formula(decay):
    draw = np.random.default_rng(0)
    values = draw.normal(size=(40, 3, 2)).astype(np.float32)
    average, expected = {"w": jnp.zeros((3, 2))}, np.zeros((3, 2))
    for t, value in enumerate(values):
        average = update_average(average, {"w": value}, jnp.int32(t), decay)
        d = min(decay, (1 + t) / (10 + t))
        expected = d * expected + (1 - d) * value.astype(np.float64)
    np.testing.assert_allclose(average["w"], expected, rtol=1e-5, atol=1e-6)


def test_it_keeps_its_dtype():
    average = {"w": jnp.zeros(3, jnp.bfloat16)}
    moved = update_average(average, {"w": jnp.ones(3, jnp.bfloat16)}, jnp.int32(0), 0.9)
    assert moved["w"].dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(moved["w"], np.float32), 0.9, rtol=1e-2)
