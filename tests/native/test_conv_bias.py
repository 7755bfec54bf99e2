"""Convolution, bias and ReLU in one call, held to one after the other in float64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops

CASES = [
    ((4, 9, 7, 6), (3, 2, 6, 8), {}),
    ((4, 9, 7, 6), (3, 2, 3, 8), {"groups": 2, "strides": 2, "padding": (1, 0)}),
    ((4, 9, 6), (3, 6, 8), {"input_dilation": 2}),
    ((2, 9, 6), (1, 6, 8), {}),
    ((2, 5, 6, 4, 3), (2, 3, 1, 3, 8), {"dilation": (1, 2, 1)}),
    ((2, 8, 9, 16), (3, 3, 1, 16), {"groups": 16}),
]


def gradients(options, relu, backend, order):
    def loss(x, kernel, bias):
        y = ops.conv(x, kernel, bias, relu=relu, backend=backend, **options)
        return jnp.sum(jnp.sin(y))

    first = jax.value_and_grad(loss, (0, 1, 2))
    if order == 1:
        return first

    def of_gradient(*arrays):
        return sum(jnp.sum(jnp.cos(g)) for g in jax.tree.leaves(first(*arrays)))

    return jax.value_and_grad(of_gradient, (0, 1, 2))


@pytest.mark.slow
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case[0]))
def test_equals_one_after_the_other(case, relu, order, x64):
    rng = np.random.default_rng(0)
    *shapes, options = case
    shapes.append(shapes[1][-1:])
    arrays = [rng.standard_normal(shape) for shape in shapes]
    arrays[1] = arrays[1] / np.sqrt(arrays[1][..., 0].size)
    narrow = [jax.device_put(a.astype(np.float32)) for a in arrays]
    found = gradients(options, relu, "native", order)(*narrow)
    expected = gradients(options, relu, "xla", order)(*arrays)
    tolerance = 2e-5 if order == 1 else 1e-3
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    for a, b in pairs:
        assert np.abs(np.asarray(a) - b).max() <= tolerance * np.abs(b).max()


@pytest.mark.parametrize(
    "in_axes",
    [(0, None, None), (0, 0, 0), (0, None, 0), (None, 0, None), (0, 0, None)],
)
def test_vmap_is_one_after_another(in_axes):
    rng = np.random.default_rng(0)
    shapes = (3, 2, 8, 7, 4), (3, 3, 2, 4, 8), (3, 8)
    whole = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    args = [a if axis == 0 else a[0] for a, axis in zip(whole, in_axes, strict=True)]

    def f(x, kernel, bias):
        return ops.conv(x, kernel, bias, relu=True, backend="native")

    mapped = jax.vmap(f, in_axes)(*args)
    for place in range(3):
        one = [
            a[place] if axis == 0 else a for a, axis in zip(args, in_axes, strict=True)
        ]
        np.testing.assert_allclose(mapped[place], f(*one), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(0, 8, 7, 4), (2, 8, 7, 0)])
def test_sums_without_terms_are_the_bias(shape):
    y = ops.conv(
        jnp.zeros(shape), jnp.zeros((3, 2, shape[-1], 8)), jnp.arange(8.0), relu=True
    )
    assert y.shape == (shape[0], 8, 7, 8)
    np.testing.assert_array_equal(y, np.broadcast_to(np.arange(8.0), y.shape))


NANS = [
    ((2, 9, 8, 16), (3, 3, 16, 8), {}),
    ((2, 9, 8, 16), (3, 3, 16, 13), {"strides": 2}),
    ((2, 9, 8, 3), (3, 3, 3, 32), {}),
    ((2, 40, 16), (5, 16, 24), {"dilation": 2}),
    ((2, 9, 8, 24), (1, 1, 24, 40), {}),
    ((2, 8, 8, 16), (3, 3, 1, 16), {"groups": 16}),
    ((2, 8, 8, 16), (3, 3, 4, 32), {"groups": 4}),
    ((2, 4, 4, 128), (3, 3, 128, 128), {}),
    ((2, 5, 6, 4, 8), (2, 3, 1, 8, 16), {}),
]


@pytest.mark.parametrize("case", NANS, ids=lambda case: str(case[:2]))
def test_relu_keeps_what_is_not_a_number(case):
    """Also where infinities of both signs meet in a sum."""
    rng = np.random.default_rng(0)
    x, kernel, options = case
    shapes = x, kernel, kernel[-1:]
    for value, which in itertools.product([np.nan, -np.nan, np.inf, -np.inf], range(3)):
        arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
        arrays[which].flat[arrays[which].size // 2] = value
        arrays = [jnp.asarray(a) for a in arrays]
        y = ops.conv(*arrays, **options, backend="native")
        assert not np.isfinite(y).all()
        finished = ops.conv(*arrays, **options, relu=True, backend="native")
        np.testing.assert_array_equal(finished, np.maximum(y, 0))


def test_relu_of_minus_zero_is_zero_and_its_gradient_at_nan_is_zero():
    x, kernel = jnp.zeros((1, 5, 4, 8)), -jnp.ones((1, 1, 8, 8))
    bias = jnp.full(8, -0.0).at[3].set(jnp.nan)

    def layer(x, bias):
        return ops.conv(x, kernel, bias, relu=True, backend="native")

    y, vjp = jax.vjp(layer, x, bias)
    assert np.isnan(y[..., 3]).all()
    assert not np.signbit(np.delete(y, 3, -1)).any()
    dx, dbias = vjp(jnp.ones_like(y))
    stock = jax.grad(lambda y: jax.nn.relu(y).sum())(jnp.float32(np.nan))
    np.testing.assert_array_equal(dx, stock)
    np.testing.assert_array_equal(dbias, stock)
