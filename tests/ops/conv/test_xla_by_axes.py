"""The input gradient of accelerators against that of CPUs and JAX's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnjax.ops.conv import xla, xla_by_axes
from cnnjax.typing import Window

# Shapes of x and kernel; strides, padding, dilation, input dilation, groups.
CASES = {
    "plain": ((2, 7, 6, 3), (3, 2, 3, 5), (1, 1), ((1, 1), (0, 1)), (1, 1), (1, 1), 1),
    "strides": (
        (2, 9, 6, 3),
        (3, 4, 3, 5),
        (2, 3),
        ((1, 0), (2, 1)),
        (1, 1),
        (1, 1),
        1,
    ),
    "dilation": (
        (2, 9, 8, 3),
        (3, 2, 3, 5),
        (1, 2),
        ((2, 2), (1, 0)),
        (2, 3),
        (1, 1),
        1,
    ),
    "input dilation": (
        (2, 5, 4, 3),
        (3, 2, 3, 4),
        (1, 1),
        ((1, 2), (1, 1)),
        (1, 1),
        (2, 3),
        1,
    ),
    "groups": ((2, 6, 5, 6), (3, 2, 2, 9), (2, 1), ((1, 1), (0, 1)), (1, 1), (1, 1), 3),
    "depthwise": (
        (2, 6, 5, 4),
        (3, 3, 1, 8),
        (1, 1),
        ((1, 1), (1, 1)),
        (1, 1),
        (1, 1),
        4,
    ),
    "1x1": ((2, 6, 5, 4), (1, 1, 4, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), (1, 1), 1),
    "1-D": ((2, 9, 3), (4, 3, 5), (2,), ((3, 0),), (1,), (1,), 1),
    "3-D": (
        (1, 4, 5, 6, 2),
        (2, 3, 2, 2, 3),
        (1, 2, 1),
        ((0, 1), (1, 1), (1, 0)),
        (1, 1, 1),
        (1, 1, 1),
        1,
    ),
    "padding beyond the kernel": (
        (1, 4, 5, 2),
        (2, 2, 2, 3),
        (1, 1),
        ((3, 2), (2, 4)),
        (1, 1),
        (1, 1),
        1,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_the_other_form_and_autodiff(name, x64):
    shape, kernel_shape, strides, padding, dilation, spread, groups = CASES[name]
    window = Window(strides, padding, dilation, spread, groups, lax.Precision.HIGHEST)
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], shape, jnp.float64)
    kernel = jax.random.normal(keys[1], kernel_shape, jnp.float64)
    y, rule = jax.vjp(lambda x: xla.stock_forward(x, kernel, window), x)
    dy = jax.random.normal(keys[2], y.shape, y.dtype)
    sizes = shape[1:-1]
    found = xla_by_axes.input_gradient(dy, kernel, window, sizes)
    for expected in (*rule(dy), xla.input_gradient(dy, kernel, window, sizes)):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_the_kernel_is_not_transposed():
    window = Window((1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), 1, None)
    arrays = jnp.zeros((2, 5, 6, 4)), jnp.zeros((3, 3, 3, 4))
    for module, expected in ((xla, True), (xla_by_axes, False)):
        program = jax.make_jaxpr(
            lambda dy, kernel, f=module: f.input_gradient(dy, kernel, window, (5, 6))
        )(*arrays)
        assert ("transpose[" in str(program)) == expected
