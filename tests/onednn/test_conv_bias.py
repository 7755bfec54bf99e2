"""Convolution, bias and ReLU in one call, held to one after the other in float64."""

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


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case[0]))
def test_equals_one_after_the_other(case, relu, order, x64):
    rng = np.random.default_rng(0)
    *shapes, options = case
    shapes.append(shapes[1][-1:])
    arrays = [rng.standard_normal(shape) for shape in shapes]
    arrays[1] = arrays[1] / np.sqrt(arrays[1][..., 0].size)
    narrow = [jnp.asarray(a, jnp.float32) for a in arrays]
    found = gradients(options, relu, "onednn", order)(*narrow)
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
        return ops.conv(x, kernel, bias, relu=True, backend="onednn")

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
