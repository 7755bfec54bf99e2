"""Derivatives of any order of the poolings, and all of them under vmap and scan."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnjax import ops
from tests.support.ops.closeness import normal
from tests.support.ops.pool.cases import Case, stock_pool

CASES = [
    Case((2, 7, 5, 2), (3, 2), {"strides": (2, 1), "padding": "SAME"}),
    Case((1, 8, 7, 2), (7, 5), {"padding": ((1, 2), (0, 3)), "strides": 2}),
]
POOLS = {
    "max": (ops.max_pool, -jnp.inf, lax.max),
    "avg": (ops.avg_pool, 0.0, lax.add),
}


def make_losses(name, case):
    pool, start, combine = POOLS[name]
    share = 1 if name == "max" else np.prod(case.window)

    def ours(x):
        return jnp.sum(jnp.sin(pool(jnp.cos(x), case.window, **case.options)))

    def stock(x):
        return jnp.sum(jnp.sin(stock_pool(case, jnp.cos(x), start, combine) / share))

    return ours, stock


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("case", CASES, ids=["whole", "by axis"])
def test_second_and_third_derivatives_equal_autodiff(name, case, x64):
    rng = np.random.default_rng(0)
    x, v, u = (normal(rng, *case.x)[0] for _ in range(3))

    def along(function, direction):
        return lambda x: jnp.vdot(jax.grad(function)(x), direction)

    def derivatives(loss, x):
        second = along(loss, v)
        third = along(second, u)
        return [jax.grad(f)(x) for f in (second, third)]

    losses = make_losses(name, case)
    ours, stock = jax.jit(lambda x: [derivatives(loss, x) for loss in losses])(x)
    for a, b in zip(ours, stock, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("window", [2, (4, 3, 3)], ids=["whole", "by axis"])
def test_vmap_of_volumes_with_axes_of_size_one(name, window):
    """XLA:CPU dies on some products of rank 7 with such axes (jax #39257)."""
    x, _ = normal(np.random.default_rng(0), 1, 2, 1, 1, 3, 1, 2, dtype=np.float32)

    def loss(x):
        y = POOLS[name][0](x, window, padding="SAME", strides=2)
        return jnp.sum(y**2)

    gradient = jax.grad(loss)
    mapped = jax.jit(jax.vmap(jax.vmap(gradient)))(x)
    one = jax.jit(gradient)
    for n in range(2):
        np.testing.assert_allclose(mapped[0, n], one(x[0, n]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", POOLS)
def test_vmap_over_an_inner_axis_is_a_loop(name):
    x, _ = normal(np.random.default_rng(0), 2, 5, 3, 4, 2, dtype=np.float32)
    loss, _ = make_losses(name, Case((2, 5, 4, 2), (2, 3), {}))
    gradient = jax.grad(loss)
    mapped = jax.jit(jax.vmap(gradient, in_axes=2, out_axes=2))(x)
    one = jax.jit(gradient)
    for n in range(3):
        np.testing.assert_allclose(
            mapped[:, :, n], one(x[:, :, n]), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("name", POOLS)
def test_scan_and_checkpoint_change_nothing(name, x64):
    x, _ = normal(np.random.default_rng(0), 2, 6, 3)

    def layer(x, _):
        return jnp.sin(3 * POOLS[name][0](x, 3, padding="SAME")), None

    def in_a_scan(layer):
        return lambda x: jnp.sum(lax.scan(layer, x, None, length=3)[0] ** 2)

    def in_a_loop(x):
        for _ in range(3):
            x, _ = layer(x, None)
        return jnp.sum(x**2)

    expected = jax.jit(jax.grad(in_a_loop))(x)
    for function in (in_a_scan(layer), in_a_scan(jax.checkpoint(layer))):
        actual = jax.jit(jax.grad(function))(x)
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)
