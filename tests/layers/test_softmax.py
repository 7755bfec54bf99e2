"""``layers.softmax`` and ``log_softmax`` against flax.linen's, which are JAX's."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from cnnjax import layers
from tests.support.ops.closeness import normal

SHAPE = (2, 3, 4, 5)
EACH = pytest.mark.parametrize("name", ["softmax", "log_softmax"])
AXES = [-1, 0, -3, (1,), (0, 2), (2, 0, -1), None, np.int64(2)]


def of(name):
    return getattr(layers, name), getattr(linen, name)


def kept(*shape):
    return np.arange(np.prod(shape)).reshape(shape) % 3 > 0


@EACH
def test_takes_the_arguments_of_flax(name):
    signatures = [
        [(p.name, p.default, p.kind) for p in inspect.signature(f).parameters.values()]
        for f in of(name)
    ]
    assert signatures[0] == signatures[1]


@EACH
@pytest.mark.parametrize("axis", AXES, ids=str)
def test_value_and_two_derivatives_equal_autodiff(name, axis, x64):
    x, _ = normal(np.random.default_rng(0), *SHAPE)

    def derivatives(function):
        def first(x):
            weights = jnp.cos(jnp.arange(x.size)).reshape(x.shape)
            return jax.grad(lambda x: jnp.vdot(weights, function(x, axis=axis)))(x)

        second = jax.grad(lambda x: jnp.sum(jnp.sin(first(x))))(x)
        return function(x, axis=axis), first(x), second

    both = jax.jit(lambda: [derivatives(function) for function in of(name)])()
    for a, b in zip(*both, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13)


WHERE = [((5,), -1), ((2, 3, 4, 5), (1, 3)), ((3, 1, 1), 1), ((2, 1, 4, 1), (0, 2))]


@EACH
@pytest.mark.parametrize(("shape", "axis"), WHERE)
def test_what_is_left_out_has_no_probability_and_no_gradient(name, shape, axis, x64):
    x, _ = normal(np.random.default_rng(0), *SHAPE)
    where = kept(*shape)

    def run(function):
        def total(x):
            y = function(x, axis=axis, where=where)
            return jnp.sum(jnp.where(where, y, 0) ** 2), y

        return jax.grad(total, has_aux=True)(x)

    ours, theirs = jax.jit(lambda: [run(function) for function in of(name)])()
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-9, atol=1e-13)
    left_out = np.broadcast_to(~where, SHAPE)
    assert (ours[1][left_out] == (0 if name == "softmax" else -np.inf)).all()
    assert (ours[0][left_out] == 0).all()


@pytest.mark.slow
@EACH
def test_a_row_that_is_left_out_whole_harms_no_other(name):
    x = jnp.asarray([[1.0, 2.0], [3.0, 4.0]])
    where = np.array([[True, True], [False, False]])
    ours, stock = of(name)

    def total(function):
        return lambda x: jnp.sum(jnp.where(where, function(x, where=where), 0) ** 2)

    dx = jax.grad(total(ours))(x)
    assert jnp.isfinite(dx).all()
    np.testing.assert_allclose(dx, jax.grad(total(stock))(x), rtol=1e-5)
    np.testing.assert_allclose(ours(x, where=where), stock(x, where=where), rtol=1e-6)


@EACH
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_dtypes_and_large_values_are_as_in_jax(name, dtype):
    x = jnp.asarray([[-3e4, 0, 3e4], [1, 2, 3]]).astype(dtype)
    a, b = (function(x, axis=1) for function in of(name))
    assert a.dtype == b.dtype
    tolerance = 4 * float(jnp.finfo(a.dtype).eps)
    a, b = a.astype(float), b.astype(float)
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@EACH
def test_edges_are_those_of_jax(name):
    ours, stock = of(name)
    for x, axis in [
        (jnp.ones((3, 0)), -1),
        (jnp.ones((0, 3)), -1),
        (jnp.ones((0, 3)), None),
        (jnp.ones((2, 3)), ()),
        (jnp.ones(()), None),
        (jnp.ones((2, 1)), 1),
    ]:
        a, b = ours(x, axis=axis), stock(x, axis=axis)
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-6)


@EACH
@pytest.mark.parametrize(
    ("axis", "message"),
    [(2, "axis 2 is out of bounds"), (-3, "axis -3 is"), ((1, -1), "repeated axis")],
)
def test_refuses_axes_that_are_not_there(name, axis, message):
    with pytest.raises(ValueError, match=message):
        getattr(layers, name)(jnp.ones((2, 3)), axis=axis)


@EACH
def test_vmap_maps_over_any_axis(name, x64):
    x, _ = normal(np.random.default_rng(0), *SHAPE)

    def run(function):
        gradient = jax.grad(lambda x: jnp.sum(function(x, axis=(0, 1)) ** 2))
        return jax.vmap(gradient, in_axes=2, out_axes=1)(x)

    ours, theirs = jax.jit(lambda: [run(function) for function in of(name)])()
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-13)
