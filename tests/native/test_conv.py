"""Convolutions by oneDNN, held to loops in NumPy on the grid of odd cases."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from cnnjax.native.conv import Implementation, find
from cnnjax.ops.conv.choose import is_fastest
from cnnjax.ops.conv.problem import Map
from cnnjax.typing import Window
from tests.support.native.instructions import HAS_AVX512
from tests.support.ops.closeness import normal
from tests.support.ops.conv.cases import CASES
from tests.support.ops.conv.check import check
from tests.support.ops.conv.map_check import make_problem

DTYPES = [jnp.float32, jnp.bfloat16]


def is_possible(case, dtype):
    """Whether oneDNN has all maps: no cropping, no strides with input dilation."""
    if dtype == jnp.bfloat16 and not HAS_AVX512 and 0 not in case.x:
        return False
    padding = np.asarray(case.geometry.padding)
    if max(case.option("input_dilation")) == 1:
        return case.copies is not None or padding.min() >= 0
    reach = np.asarray(case.covered)[:, None] - 1
    return set(case.option("strides")) == {1} and (reach - padding).min() >= 0


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("case", CASES)
def test_equals_loops_in_numpy_or_refuses(case, dtype):
    with ops.backend("native"):
        if is_possible(case, dtype):
            check(case, dtype)
        else:
            with pytest.raises(ValueError, match=r"cannot compute.*use 'auto'"):
                check(case, dtype)


@pytest.mark.parametrize("case", CASES[1::4])
def test_auto_equals_loops_in_numpy(case):
    check(case, jnp.float32)


SHAPES = [
    ((3, 9, 7, 1), (3, 3, 1, 16), {}),
    ((2, 14, 13, 32), (3, 2, 32, 48), {"strides": 2}),
    ((2, 14, 13, 32), (3, 2, 8, 64), {"groups": 4, "padding": 1}),
    ((2, 11, 12, 32), (3, 3, 1, 32), {"groups": 32, "strides": (2, 1)}),
    ((2, 9, 12, 48), (1, 1, 48, 33), {}),
    ((2, 9, 12, 16), (1, 1, 16, 32), {"strides": 2}),
    ((3, 50, 17), (5, 17, 40), {"dilation": 3}),
    ((1, 6, 7, 8, 16), (3, 3, 2, 16, 16), {"strides": (1, 2, 1)}),
    ((2, 6, 7, 16), (3, 4, 16, 32), {"input_dilation": 2, "padding": 1}),
]


@pytest.mark.parametrize("dtype", DTYPES[: 1 + HAS_AVX512], ids=lambda d: d.__name__)
@pytest.mark.parametrize(("x", "kernel", "options"), SHAPES)
def test_equals_xla_where_vectors_are_full(x, kernel, options, dtype):
    """Channels that fill whole registers take other paths than the odd cases."""
    rng = np.random.default_rng(0)
    args = [normal(rng, *shape, dtype=dtype)[0] for shape in (x, kernel)]

    y = jax.eval_shape(lambda *a: ops.conv(*a, **options), *args)
    args.append(normal(rng, *y.shape, dtype=dtype)[0])

    def run(backend, x, kernel, dy):
        layer = partial(ops.conv, backend=backend, **options)
        y, vjp = jax.vjp(layer, x, kernel)
        return y, *vjp(dy)

    text = jax.jit(run, static_argnums=0).lower("auto", *args).as_text()
    if HAS_AVX512:  # the older instructions have fewer fast kernels
        strided_1x1 = options.get("strides") == 2 and kernel[:2] == (1, 1)
        calls = 3 - strided_1x1  # whose input gradient is a product of matrices in XLA
        assert text.count("stablehlo.custom_call @cnnjax_conv") == calls
    exact = run("xla", *[arg.astype(jnp.float32) for arg in args])
    for actual, expected in zip(run("native", *args), exact, strict=True):
        error = np.abs(np.asarray(actual, np.float32) - expected).max()
        assert error <= jnp.finfo(dtype).eps * 16 * np.abs(expected).max()


def test_zero_images_give_zeros():
    x, kernel = jnp.ones((0, 6, 5, 16)), jnp.ones((3, 3, 16, 16))
    with ops.backend("native"):
        y, vjp = jax.vjp(lambda *a: ops.conv(*a, strides=2), x, kernel)
        dx, dkernel = jax.jit(vjp)(y)
    assert y.shape == (0, 3, 3, 16) and dx.shape == x.shape
    np.testing.assert_array_equal(dkernel, 0)
    mapped = jax.vmap(lambda x: ops.conv(x, kernel, backend="native"))
    assert mapped(jnp.ones((0, 2, 6, 5, 16))).shape == (0, 2, 6, 5, 16)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_spreads_over_its_window_alone(value):
    x = np.ones((2, 9, 8, 16), np.float32)
    x[1, 4, 3, 2] = value
    y = ops.conv(x, jnp.ones((3, 3, 16, 8)), backend="native")
    touched = np.zeros(y.shape, bool)
    touched[1, 3:6, 2:5] = True
    np.testing.assert_array_equal(~np.isfinite(y), touched)


def test_arrays_beyond_32_bits_go_to_xla_or_are_refused():
    big = jax.ShapeDtypeStruct((1, 30_000, 30_000, 1), jnp.float32)
    kernel = jnp.ones((3, 3, 1, 1))
    lower = jax.jit(ops.conv, static_argnames="backend").lower
    assert "custom_call" not in lower(big, kernel).as_text()
    with pytest.raises(ValueError, match=r"cannot compute.*larger than 2 GiB"):
        lower(big, kernel, backend="native")


def test_refuses_dtypes_it_does_not_know():
    with pytest.raises(ValueError, match="cannot compute the forward of float16"):
        ops.conv(
            jnp.ones((1, 4, 2), jnp.float16),
            jnp.ones((2, 2, 2), jnp.float16),
            backend="native",
        )


def test_says_what_would_run():
    window = Window((1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1))
    shapes = (8, 14, 14, 32), (3, 3, 32, 64), window, "float32"
    found = find("forward", *shapes)
    assert found.is_fast and not found.reason
    assert found.implementation is not Implementation.JIT_DEPTHWISE
    depthwise = (8, 14, 14, 32), (3, 3, 1, 32), window._replace(groups=32), "float32"
    found = find("kernel_gradient", *depthwise)
    assert found.implementation is Implementation.JIT_DEPTHWISE
    far = (2, 7, 6, 3), (3, 3, 3, 4), window._replace(padding=((4, 9), (4, 9)))
    assert not find("forward", *far, "float32").is_fast


@pytest.mark.parametrize(
    ("name", "x", "kernel", "strides", "expected"),
    [
        ("input_gradient", (8, 28, 28, 3), (3, 3, 3, 16), 1, True),
        ("input_gradient", (8, 28, 28, 3), (3, 3, 3, 16), 2, False),
        ("input_gradient", (8, 28, 28, 3), (3, 3, 3, 64), 1, False),
        ("kernel_gradient", (8, 28, 28, 3), (3, 3, 3, 64), 2, True),
        ("forward", (8, 4, 4, 32), (1, 1, 32, 64), 1, False),
        ("forward", (8, 9, 10, 32), (1, 1, 32, 64), 2, True),
        ("forward", (8, 8, 8, 32), (1, 1, 32, 64), 2, False),
        ("input_gradient", (8, 9, 10, 32), (1, 1, 32, 64), 2, False),
        ("forward", (8, 5, 4, 32), (1, 1, 32, 64), 1, True),
    ],
)
def test_auto_leaves_to_xla_what_xla_does_faster(name, x, kernel, strides, expected):
    window = Window((strides,) * 2, ((1, 1),) * 2, (1, 1), (1, 1))
    if kernel[:2] == (1, 1):
        window = window._replace(padding=((0, 0), (0, 0)))
    found = find(name, x, kernel, window, "float32")
    assert found.implementation
    if HAS_AVX512:
        problem = make_problem(x, kernel, window)
        assert is_fastest(found, problem, Map(name)) is expected
