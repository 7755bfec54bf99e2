"""Normalization under the transformations of JAX, and over a mapped axis."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnjax import ops
from tests.support.ops.norm.cases import make_arrays, total


def gradient(x, scale, bias):
    return jax.grad(lambda *args: total(ops.batch_norm(*args)), (0, 1, 2))(
        x, scale, bias
    )


@pytest.mark.slow
@pytest.mark.parametrize("in_axes", [(0, 0, 0), (0, None, None), (None, 0, None)])
def test_vmap_of_the_gradient_is_one_after_another(in_axes, x64):
    shapes = (3, 4, 2, 5), (3, 5), (3, 5)
    args = [
        a if axis == 0 else a[0]
        for a, axis in zip(make_arrays(*shapes), in_axes, strict=True)
    ]
    mapped = jax.jit(jax.vmap(gradient, in_axes))(*args)
    for i in range(3):
        one = [a if k is None else a[i] for a, k in zip(args, in_axes, strict=True)]
        for a, b in zip(mapped, gradient(*one), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-11, atol=1e-11)


@pytest.mark.slow
def test_vmap_survives_axes_of_size_one(x64):
    """jaxlib 0.10.2 crashed on some of these with more axes (jax #39257)."""
    args = make_arrays((2, 3, 1, 2, 1, 5), (5,), (5,))
    mapped = jax.jit(jax.vmap(gradient, (0, None, None)))(*args)
    for i in range(2):
        expected = gradient(args[0][i], *args[1:])
        for a, b in zip(mapped, expected, strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-11, atol=1e-11)


def test_checkpoint_and_scan_change_nothing(x64):
    args = make_arrays((4, 2, 3), (3,), (3,))

    def twice(step):
        return lambda x, *args: step(step(x, *args), *args)

    def layer(x, scale, bias):
        return jnp.sin(ops.batch_norm(x, scale, bias)[0])

    def scanned(x, *args):
        step = lax.scan(lambda x, _: (layer(x, *args), None), x, length=2)
        return step[0]

    variants = twice(layer), twice(jax.checkpoint(layer)), scanned
    expected, *others = (
        jax.jit(jax.grad(lambda *args, f=f: total(f(*args)), (0, 1, 2)))(*args)
        for f in variants
    )
    for other in others:
        for a, b in zip(other, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("outside", [True, False])
def test_a_mapped_axis_is_one_large_batch(fast, outside, x64):
    """With the derivative taken inside of ``vmap``, or of the ``vmap`` whole."""
    x, scale, bias = make_arrays((3, 4, 2, 5), (5,), (5,))

    def one(x, scale, bias):
        options = {"axis_name": "devices", "use_fast_variance": fast}
        y, mean, variance = ops.batch_norm(x, scale, bias, **options)
        # Each of the three devices counts a third of what they share.
        return jnp.sum(y**3) + (jnp.sum(mean**2) + jnp.sum(jnp.sin(variance))) / 3

    def mapped(x, scale, bias):
        if outside:
            run = jax.vmap(one, (0, None, None), axis_name="devices")
            sums = jax.grad(lambda *args: run(*args).sum(), (0, 1, 2))
            return sums(x, scale, bias)
        run = jax.vmap(jax.grad(one, (0, 1, 2)), (0, None, None), axis_name="devices")
        dx, *others = run(x, scale, bias)
        return dx, *(d.sum(0) for d in others)

    def whole(x, scale, bias):
        y, mean, variance = ops.batch_norm(x.reshape(12, 2, 5), scale, bias)
        return jnp.sum(y**3) + jnp.sum(mean**2) + jnp.sum(jnp.sin(variance))

    expected = jax.jit(jax.grad(whole, (0, 1, 2)))(x, scale, bias)
    for a, b in zip(jax.jit(mapped)(x, scale, bias), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)
