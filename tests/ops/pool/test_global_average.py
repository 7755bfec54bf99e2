"""The mean over all positions and its gradient, against NumPy and autodiff."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from tests.support.ops.closeness import normal, values_and_gradients

SHAPES = [(2, 5, 3), (2, 4, 5, 3), (1, 2, 3, 4, 5), (3, 1, 1, 2), (0, 4, 2)]


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_numpy_and_autodiff(shape, x64):
    rng = np.random.default_rng(0)
    (x, exact), (dy, exact_dy) = normal(rng, *shape), normal(rng, shape[0], shape[-1])
    positions = tuple(range(1, len(shape) - 1))
    ours, stock = values_and_gradients(
        (ops.global_avg_pool, lambda x: jnp.mean(x, positions)), dy, x
    )
    count = np.prod(shape[1:-1])
    dx = np.broadcast_to(np.expand_dims(exact_dy, positions) / count, shape)
    for results in (ours, stock):
        expected = exact.mean(positions), dx
        for a, b in zip(results, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_second_order_vmap_and_scan_equal_autodiff(x64):
    x, _ = normal(np.random.default_rng(0), 3, 2, 4, 5, 2)

    def run(pool):
        def loss(x):
            def step(sums, x):
                return sums + pool(x) ** 3, None

            return jnp.sum(jnp.sin(jax.lax.scan(step, jnp.zeros((2, 2)), x)[0]))

        def second(x):
            return jnp.sum(jax.grad(lambda x: jnp.sum(pool(x) ** 3))(x) ** 2)

        return jax.grad(loss)(x), jax.vmap(jax.grad(second))(x)

    both = jax.jit(lambda x: [run(p) for p in (ops.global_avg_pool, plain)])(x)
    for a, b in zip(*both, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def plain(x):
    return jnp.mean(x, tuple(range(1, x.ndim - 1)))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_keeps_the_dtype_and_sums_halves_in_float32(dtype):
    x = jnp.full((1, 64, 64, 1), 0.1, dtype)
    y, vjp = jax.vjp(ops.global_avg_pool, x)
    (dx,) = vjp(jnp.ones_like(y))
    assert y.dtype == dx.dtype == dtype
    np.testing.assert_allclose(y.astype(float), float(x[0, 0, 0, 0]), rtol=1e-6)
    np.testing.assert_array_equal(dx.astype(float), 1 / 4096)


@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 0, 3), (2, 3, 0, 4)])
def test_refuses_with_the_values_in_the_message(shape):
    with pytest.raises(ValueError, match=re.escape(f"x has shape {shape}, expected")):
        ops.global_avg_pool(jnp.ones(shape))
