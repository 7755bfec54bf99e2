"""A depthwise convolution as a loop over the taps, unrolled and scanned."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from cnnjax.ops.conv import depthwise
from tests.support.ops.conv.cases import case
from tests.support.ops.conv.map_check import check_map

CASES = [
    case("1-D", (2, 9, 6), (3, 1, 6), groups=6, strides=2),
    case("plane", (2, 6, 5, 4), (2, 3, 1, 4), groups=4, padding=((0, 2), (1, 0))),
    case("strided", (2, 9, 8, 3), (3, 4, 1, 3), groups=3, strides=(2, 3)),
    case("volume", (2, 3, 4, 5, 2), (2, 1, 3, 1, 2), groups=2, dilation=(1, 2, 1)),
    case("7x7 over 4x3", (2, 4, 3, 5), (7, 7, 1, 5), groups=5, padding="SAME"),
    case("cropped", (2, 8, 7, 3), (2, 2, 1, 3), groups=3, padding=((-1, 0), (2, -2))),
]


@pytest.mark.parametrize("name", ["forward", "input_gradient", "kernel_gradient"])
@pytest.mark.parametrize("largest", [0, 99], ids=["scanned", "unrolled"])
@pytest.mark.parametrize("case", CASES)
def test_equals_numpy(case, largest, name, x64, monkeypatch):
    monkeypatch.setattr(depthwise, "LARGEST_UNROLLED", largest)
    check_map(depthwise, name, case)


def test_scanned_sums_of_half_precision_are_float32():
    x = jnp.ones((1, 20, 20, 2), jnp.bfloat16)
    kernel = jnp.full((20, 20, 1, 2), 1.0, jnp.bfloat16)
    with ops.backend("xla"):
        y = ops.conv(x, kernel, padding="VALID", groups=2)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(y, np.float32), 400.0)


def test_scanned_maps_have_second_derivatives_under_vmap(x64):
    random = np.random.default_rng(0)
    x, kernel = random.normal(size=(3, 2, 4, 5, 3)), random.normal(size=(7, 7, 1, 3))

    def penalty(x, kernel):
        def loss(x):
            return (ops.conv(x, kernel, padding="SAME", groups=3) ** 3).sum()

        return (jax.grad(loss)(x) ** 2).sum()

    def gradients():
        each = jax.vmap(jax.grad(penalty, argnums=(0, 1)), (0, None))
        return jax.jit(each)(x, kernel)

    found = gradients()
    with ops.gradients("autodiff"):
        expected = gradients()
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max())
