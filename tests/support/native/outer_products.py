"""Holds kernel gradients by sums of outer products to XLA in float64."""

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.native.conv import Implementation, find, kernel_gradient, output_shape
from cnnjax.ops.conv import xla
from tests.support.ops.conv.cases import Case
from tests.support.ops.conv.map_check import make_window

CASES = [
    Case((5, 9, 8), (3, 8, 16), {}),
    Case((3, 150, 17), (4, 17, 32), {"strides": 3, "padding": (5,)}),
    Case((7, 8, 8, 64), (3, 3, 64, 64), {"padding": 1}),
    Case((5, 3, 2, 70), (3, 3, 70, 80), {"padding": 1}),
    Case((1, 13, 11, 130), (2, 3, 130, 144), {"strides": (2, 1), "padding": "VALID"}),
    Case((2, 7, 90, 12), (3, 2, 12, 48), {"dilation": (2, 3), "padding": ((0, 4), 2)}),
    Case((3, 5, 4, 6, 10), (2, 3, 2, 10, 16), {"strides": (1, 2, 3)}),
    Case((2, 1, 1, 2, 9), (3, 3, 3, 9, 32), {"dilation": 2, "padding": 3}),
    Case((2, 6, 3, 8), (5, 1, 8, 16), {"padding": ((6, 0), (4, 7))}),
    Case((4, 9, 8, 64), (3, 3, 64, 192), {}),  # three blocks
    Case((1, 40, 40, 64), (3, 3, 64, 64), {}),  # one image
    Case((2, 9, 8, 8), (3, 2, 8, 16), {"padding": ((-2, 1), (0, -3)), "strides": 2}),
]
OTHERS = [
    Case((5, 9, 9, 7), (3, 3, 7, 16), {}),
    Case((5, 9, 9, 16), (3, 3, 16, 24), {}),
    Case((5, 9, 9, 16), (1, 1, 16, 16), {}),
    Case((5, 9, 9, 32), (3, 3, 16, 32), {"groups": 2}),
    Case((5, 9, 9, 16), (3, 3, 16, 0), {}),
]


def check(case):
    """Sums of many terms of either sign, with no more than float32's rounding."""
    window = make_window(case)
    assert is_outer_products(case)
    rng = np.random.default_rng(0)
    x = rng.standard_normal(case.x)
    dy = rng.standard_normal(output_shape(case.x, case.kernel, window))
    taps = case.kernel[:-2]
    expected = xla.kernel_gradient(jnp.array(x), jnp.array(dy), window, taps)
    run = jax.jit(lambda *arrays: kernel_gradient(*arrays, window, taps))
    actual = run(jnp.float32(x), jnp.float32(dy))
    assert (actual == run(jnp.float32(x), jnp.float32(dy))).all()
    atol = 1e-6 * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


def is_outer_products(case):
    window = make_window(case)
    found = find("kernel_gradient", case.x, case.kernel, window, "float32")
    return found.implementation is Implementation.OUTER_PRODUCTS


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    for each in CASES:
        check(each)
    assert not [case for case in OTHERS if is_outer_products(case)]
