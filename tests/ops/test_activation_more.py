"""Smooth activations against JAX's own: two derivatives, extremes, half precision."""

import copy
import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops

PAIRS = [
    pytest.param(ops.gelu, jax.nn.gelu, id="gelu"),
    pytest.param(
        partial(ops.gelu, approximate=False),
        partial(jax.nn.gelu, approximate=False),
        id="gelu-erf",
    ),
    pytest.param(ops.silu, jax.nn.silu, id="silu"),
    pytest.param(ops.tanh, jnp.tanh, id="tanh"),
    pytest.param(ops.sigmoid, jax.nn.sigmoid, id="sigmoid"),
]
EXTREME = [-1e4, -300, -30, -1e-9, -0.0, 0, 1e-9, 30, 300, 1e4]
EACH = pytest.mark.parametrize(("ours", "stock"), PAIRS)


def derivatives(function, x):
    """The value, the first and the second derivative of each element."""
    first = jax.grad(lambda x: function(x).sum())
    return function(x), first(x), jax.grad(lambda x: first(x).sum())(x)


@EACH
def test_value_and_two_derivatives_equal_autodiff(ours, stock, x64):
    x = jnp.linspace(-8, 8, 321).reshape(3, -1)
    both = jax.jit(lambda x: [derivatives(f, x) for f in (ours, stock)])(x)
    for a, b in zip(*both, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@EACH
@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32, jnp.bfloat16, jnp.float16])
def test_extreme_inputs_have_finite_derivatives(ours, stock, dtype, x64):
    """The limits are those of float64, to a few roundings of the dtype."""
    x = jnp.asarray(EXTREME, dtype)
    actual, exact = jax.jit(
        lambda x: (derivatives(ours, x), derivatives(stock, x.astype(jnp.float64)))
    )(x)
    eps = float(jnp.finfo(dtype).eps)
    for a, b in zip(actual[:2], exact[:2], strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a.astype(float), b, rtol=4 * eps, atol=4 * eps)
    if dtype != jnp.float16:  # 1e4^2 is infinite there
        second = actual[2].astype(float)
        np.testing.assert_allclose(second, exact[2], rtol=8 * eps, atol=8 * eps)


@EACH
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_is_as_exact_as_jax_in_low_precision(ours, stock, dtype, x64):
    x = jnp.linspace(-6, 6, 97).astype(dtype)
    *both, exact = jax.jit(
        lambda x: [
            derivatives(f, x)[:2]
            for f, x in ((ours, x), (stock, x), (stock, x.astype(jnp.float64)))
        ]
    )(x)
    eps = float(jnp.finfo(dtype).eps)
    for a, b, c in zip(*both, exact, strict=True):
        error, jax_error = (np.abs(v.astype(float) - c).max() for v in (a, b))
        assert error <= max(1.5 * jax_error, 4 * eps * np.abs(c).max())


@EACH
def test_vmap_of_the_gradient(ours, stock, x64):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((4, 3)))

    def gradient(function):
        return jax.vmap(jax.grad(lambda x: jnp.sum(function(x) ** 2)))(x)

    np.testing.assert_allclose(gradient(ours), gradient(stock), rtol=1e-10, atol=1e-12)


def test_gelu_takes_its_option_by_position_and_by_name():
    x = jnp.asarray([1.0, 2.0])
    by_name = ops.gelu(x, approximate=False)
    np.testing.assert_array_equal(ops.gelu(x, False), by_name)
    assert (by_name != ops.gelu(x)).all()


@pytest.mark.parametrize(
    "name",
    ["relu", "relu6", "sigmoid", "silu", "hard_swish", "softmax", "tanh"],
)
def test_is_passed_around_like_any_function(name):
    function = getattr(ops, name)
    assert copy.deepcopy(function) is function
    assert pickle.loads(pickle.dumps(function)) is function
    assert function.__name__ == name
    x = jnp.asarray([-1.0, 2.0])
    np.testing.assert_array_equal(function(x=x), function(x))
    np.testing.assert_allclose(jax.jit(function)(x), function(x), rtol=1e-6)
