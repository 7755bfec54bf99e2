"""Small images as products of matrices, held to XLA in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from cnnjax.native.conv import MAPS, Implementation, find
from tests.support.ops.conv.cases import Case
from tests.support.ops.conv.map_check import make_window

CASES = [
    Case((5, 2, 2, 128), (3, 3, 128, 130), {}),
    Case((1, 2, 2, 64), (3, 3, 64, 65), {}),
    Case((3, 4, 4, 128), (3, 3, 128, 144), {"strides": 2, "padding": 1}),
    Case((4, 4, 4, 128), (3, 3, 128, 128), {}),
    Case((7, 1, 1, 64), (3, 3, 64, 96), {"padding": 1}),
    Case((3, 2, 3, 130), (3, 2, 130, 128), {"padding": ((0, 2), (1, 3))}),
    Case((2, 4, 5, 128), (2, 3, 128, 128), {"dilation": (3, 2), "padding": (2, 3)}),
    Case((6, 3, 128), (5, 128, 128), {}),
    Case((2, 2, 3, 2, 128), (3, 3, 3, 128, 128), {"strides": (1, 2, 1)}),
    # Windows in the padding alone.
    Case((2, 2, 1, 128), (1, 1, 128, 128), {"padding": 2}),
]


def arrays_for(x, kernel):
    rng = np.random.default_rng(0)
    width = kernel[-1]
    scale = 1 / np.sqrt(np.prod(kernel[:-1]))
    arrays = [rng.standard_normal(shape) for shape in (x, kernel, (width,))]
    return [arrays[0], arrays[1] * scale, arrays[2]]


def value_and_gradients(arrays, backend, **options):
    def layer(*arrays):
        return ops.conv(*arrays, backend=backend, **options)

    y, pull = jax.vjp(layer, *arrays)
    return y, *pull(jnp.cos(jnp.arange(y.size, dtype=y.dtype).reshape(y.shape)))


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case[0]))
def test_equals_float64(case, relu, x64):
    x, kernel, options = case
    window = make_window(case)
    for name in MAPS:
        found = find(name, x, kernel, window, "float32")
        assert found.implementation is Implementation.MATRIX_PRODUCTS and found.is_fast
    arrays = arrays_for(x, kernel)
    narrow = [jax.device_put(np.asarray(a, np.float32)) for a in arrays]
    actual = value_and_gradients(narrow, "native", relu=relu, **options)
    wide = [jax.device_put(np.asarray(a, np.float64)) for a in narrow]
    expected = value_and_gradients(wide, "xla", relu=relu, **options)
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_vmap_is_one_after_another(axes):
    x, kernel, _ = arrays_for((6, 2, 2, 64), (3, 3, 64, 64))
    x, kernel = jnp.float32(x), jnp.float32(kernel)
    sides = (x.reshape(3, 2, 2, 2, 64), x[:2]), (jnp.stack([kernel] * 3), kernel)
    arrays = [pair[axis is None] for pair, axis in zip(sides, axes, strict=True)]
    conv = lambda x, kernel: ops.conv(x, kernel, backend="native")  # noqa: E731
    mapped = jax.vmap(conv, axes)(*arrays)
    for i, y in enumerate(mapped):
        one = [
            a if axis is None else a[i] for a, axis in zip(arrays, axes, strict=True)
        ]
        np.testing.assert_allclose(y, conv(*one), atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_window(value):
    x = np.ones((3, 4, 4, 128), np.float32)
    x[1, 0, 3, 5] = value
    bias = jnp.zeros(128)
    y = ops.conv(x, jnp.ones((3, 3, 128, 128)), bias, relu=True, backend="native")
    touched = np.zeros(y.shape, bool)
    touched[1, :2, 2:] = True
    np.testing.assert_array_equal(~np.isfinite(y), touched)


@pytest.mark.parametrize(
    ("x", "kernel", "options", "dtype"),
    [
        ((5, 2, 2, 128), (3, 3, 128, 128), {}, "bfloat16"),
        ((5, 2, 2, 32), (3, 3, 32, 128), {}, "float32"),
        ((5, 4, 4, 64), (3, 3, 64, 64), {}, "float32"),
        ((5, 8, 8, 128), (3, 3, 128, 128), {}, "float32"),
        ((5, 4, 4, 128), (1, 1, 128, 128), {"strides": 2}, "float32"),
    ],
)
def test_only_where_it_pays(x, kernel, options, dtype):
    window = make_window(Case(x, kernel, options))
    found = find("forward", x, kernel, window, dtype)
    assert found.implementation is not Implementation.MATRIX_PRODUCTS
