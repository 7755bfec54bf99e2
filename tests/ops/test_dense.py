"""The dense layer's map and gradients against loops in NumPy and against autodiff."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from tests import reference
from tests.support.ops.closeness import assert_sum_close, normal, values_and_gradients


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("rows", [(), (1,), (4,), (2, 3), (0,), (2, 0, 3)])
def test_equals_numpy_to_the_rounding_of_its_terms(rows, dtype, x64):
    rng = np.random.default_rng(0)
    x, x64 = normal(rng, *rows, 5, dtype=dtype)
    kernel, kernel64 = normal(rng, 5, 3, dtype=dtype)
    bias, bias64 = normal(rng, 3, dtype=dtype)
    dy, dy64 = normal(rng, *rows, 3, dtype=dtype)
    [(y, *gradients)] = values_and_gradients([ops.dense], dy, x, kernel, bias)

    assert [g.dtype for g in (y, *gradients)] == [dtype] * 4
    terms = 6 + x[..., 0].size
    absolute = reference.dense(*map(np.abs, (x64, kernel64, bias64)))
    assert_sum_close(y, reference.dense(x64, kernel64, bias64), absolute, terms)
    exacts = reference.dense_gradients(x64, kernel64, dy64)
    absolutes = reference.dense_gradients(*map(np.abs, (x64, kernel64, dy64)))
    for gradient, exact, absolute in zip(gradients, exacts, absolutes, strict=True):
        assert_sum_close(gradient, exact, absolute, terms)


def test_two_derivatives_equal_autodiff(x64):
    rng = np.random.default_rng(0)
    args = [normal(rng, *shape)[0] for shape in ((2, 3, 5), (5, 4), (4,))]
    v = [normal(rng, *a.shape)[0] for a in args]

    def derivatives(layer, *args):
        def gradients(*args):
            return jax.grad(lambda *a: jnp.sum(jnp.sin(layer(*a))), (0, 1, 2))(*args)

        def along(*args):
            return sum(map(jnp.vdot, gradients(*args), v))

        return gradients(*args), jax.grad(along, (0, 1, 2))(*args)

    def stock_layer(x, kernel, bias):
        return x @ kernel + bias

    layers = ops.dense, stock_layer
    ours, stock = jax.jit(lambda *args: [derivatives(f, *args) for f in layers])(*args)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(stock), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("in_axes", [(0, None), (None, 0), (0, 0)])
def test_vmap_of_the_gradient_is_a_loop(in_axes, x64):
    rng = np.random.default_rng(0)
    many = normal(rng, 3, 2, 5)[0], normal(rng, 3, 5, 4)[0]
    args = [a if axis == 0 else a[0] for a, axis in zip(many, in_axes, strict=True)]
    gradient = jax.grad(lambda x, k: jnp.sum(ops.dense(x, k) ** 2), (0, 1))
    mapped = jax.jit(jax.vmap(gradient, in_axes))(*args)
    for n in range(3):
        pair = [a[n] if axis == 0 else a for a, axis in zip(args, in_axes, strict=True)]
        for a, b in zip(mapped, gradient(*pair), strict=True):
            np.testing.assert_allclose(a[n], b, rtol=1e-12, atol=1e-12)


X, KERNEL = jnp.zeros((2, 3)), jnp.zeros((3, 4))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((X, KERNEL[:2]), r"x has shape \(2, 3\) and kernel has shape \(2, 4\)"),
        ((X[0, 0], KERNEL), r"x has shape \(\)"),
        ((X, KERNEL[0]), r"kernel has shape \(4,\)"),
        ((X, KERNEL.astype(jnp.float16)), "x is float32 and kernel float16"),
        ((X.astype(int), KERNEL.astype(int)), "x is int32 and kernel int32"),
        ((X, KERNEL, X[0]), r"bias has shape \(3,\), expected \(4,\)"),
    ],
)
def test_refuses_with_the_values_in_the_message(args, message):
    with pytest.raises(ValueError, match=message):
        ops.dense(*args)
