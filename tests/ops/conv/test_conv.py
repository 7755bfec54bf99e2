"""Values and gradients of ``ops.conv`` against loops in NumPy and against XLA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from tests.support.ops.closeness import normal
from tests.support.ops.conv.cases import CASES, case
from tests.support.ops.conv.check import check

DTYPES = [jnp.float32, jnp.bfloat16]


@pytest.mark.parametrize("case", CASES)
def test_equals_numpy_and_autodiff_in_float64(case, x64):
    check(case, jnp.float64)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("case", CASES[::5])
def test_rounds_no_more_than_its_terms(case, dtype):
    check(case, dtype)


def test_textbook_formula_in_1d(x64):
    """y_i = sum_j x_(i+j) w_j and its gradients, letter by letter."""
    rng = np.random.default_rng(1)
    (n, k), m = (9, 4), 9 - 4 + 1
    x, w, b, dy = (rng.standard_normal(size) for size in (n, k, 1, m))

    y, vjp = jax.vjp(
        lambda x, w, b: ops.conv(
            x.reshape(1, n, 1), w.reshape(k, 1, 1), b, padding="VALID"
        ).reshape(m),
        *map(jnp.asarray, (x, w, b)),
    )
    dx, dw, db = vjp(jnp.asarray(dy))

    exactly = {"rtol": 1e-12, "atol": 1e-12}
    y_i = [sum(x[i + j] * w[j] for j in range(k)) + b[0] for i in range(m)]
    np.testing.assert_allclose(y, y_i, **exactly)
    dw_j = [sum(dy[i] * x[i + j] for i in range(m)) for j in range(k)]
    np.testing.assert_allclose(dw, dw_j, **exactly)
    np.testing.assert_allclose(db, [sum(dy)], **exactly)
    # dy * rot180(w), the "full" product: the turned filter slides from its first
    # touch of dy to its last.
    turned, padded = w[::-1], np.pad(dy, k - 1)
    dx_i = [sum(padded[i + j] * turned[j] for j in range(k)) for i in range(n)]
    np.testing.assert_allclose(dx, dx_i, **exactly)


def test_flipped_kernel_is_the_convolution_of_mathematics(x64):
    x, kernel = jnp.arange(1.0, 7), jnp.asarray([1.0, 10.0, 100.0])
    y = ops.conv(
        x.reshape(1, -1, 1), kernel.reshape(-1, 1, 1), padding=2, flip_kernel=True
    )
    np.testing.assert_array_equal(y.ravel(), np.convolve(x, kernel))


def test_numbers_and_sequences_mean_the_same(x64):
    rng = np.random.default_rng(2)
    (x, _), (kernel, _) = normal(rng, 1, 6, 5, 2), normal(rng, 3, 2, 2, 3)
    y = ops.conv(x, kernel, strides=2, padding=1, dilation=2)
    for strides, padding in [
        ((2, 2), ((1, 1), (1, 1))),
        ([2, 2], [[1, 1], 1]),
        (np.array([2, 2]), np.ones((2, 2), int)),
    ]:
        again = ops.conv(x, kernel, strides=strides, padding=padding, dilation=(2, 2))
        np.testing.assert_array_equal(again, y)
    lower = ops.conv(x, kernel, padding="same_lower")
    np.testing.assert_array_equal(lower, ops.conv(x, kernel, padding="SAME_LOWER"))


def test_precision_reaches_every_product():
    x, kernel = jnp.ones((1, 5, 2)), jnp.ones((3, 2, 2))

    def loss(kernel):
        return jnp.sum(ops.conv(x, kernel, precision="highest", backend="xla") ** 2)

    text = jax.jit(jax.grad(loss)).lower(kernel).as_text()
    products = [line for line in text.splitlines() if "stablehlo.conv" in line]
    assert len(products) >= 2
    assert all(line.count("HIGHEST") == 2 for line in products)


X, KERNEL = jnp.zeros((2, 5, 6, 4)), jnp.zeros((3, 3, 4, 6))
REFUSALS = [
    ((X[0, 0], KERNEL), {}, r"\(6, 4\).*\(3, 3, 4, 6\)"),
    ((X[None, None], KERNEL[None, None]), {}, r"\(1, 1, 2, 5, 6, 4\).*1 to 3 spatial"),
    ((X, KERNEL[0]), {}, r"\(2, 5, 6, 4\) and kernel \(3, 4, 6\)"),
    ((X, KERNEL.astype(jnp.bfloat16)), {}, "x is float32 and kernel bfloat16"),
    ((X.astype(int), KERNEL.astype(int)), {}, "x is int32 and kernel int32"),
    ((X[..., :3], KERNEL), {}, "expects 4 input channels.*x has 3"),
    ((X, KERNEL), {"groups": 2}, "groups=2 expects 8 input channels"),
    ((X, KERNEL[:, :, :1]), {"groups": 4}, "multiple of 4 outputs.*kernel 6 outputs"),
    ((X, KERNEL), {"groups": 0}, "groups=0"),
    ((X, KERNEL, jnp.zeros(5)), {}, r"bias has shape \(5,\), expected \(6,\)"),
    ((X, KERNEL), {"padding": "FULL"}, "padding is 'FULL', expected one of SAME"),
    ((X, KERNEL), {"padding": (1,)}, r"padding is \(1,\).*2 entries"),
    ((X, KERNEL), {"padding": ((1, 2, 3), 1)}, r"\(\(1, 2, 3\), 1\)"),
    ((X, KERNEL), {"padding": 0.5}, "padding is 0.5"),
    ((X, KERNEL), {"padding": "CAUSAL"}, "CAUSAL padding is for 1-D.*2-D"),
    ((X, KERNEL), {"strides": 0}, "strides is 0, expected whole numbers of 1"),
    ((X, KERNEL), {"strides": (1, 2, 3)}, r"strides is \(1, 2, 3\), expected 2"),
    ((X, KERNEL), {"strides": 1.5}, "strides is 1.5"),
    ((X, KERNEL), {"strides": True}, "strides is True"),
    ((X, KERNEL), {"dilation": -1}, "dilation is -1"),
    ((X, KERNEL), {"input_dilation": (0, 1)}, r"input_dilation is \(0, 1\)"),
    (
        (X, KERNEL),
        {"dilation": 3, "padding": "VALID"},
        r"output would be empty.*covers \(7, 7\).*\(5, 6\).*\(\(0, 0\), \(0, 0\)\)",
    ),
    ((X, KERNEL), {"padding": -2}, r"empty.*\(\(-2, -2\), \(-2, -2\)\)"),
]


@pytest.mark.parametrize(("arrays", "options", "message"), REFUSALS)
def test_refuses_with_the_values_in_the_message(arrays, options, message):
    with pytest.raises(ValueError, match=message):
        ops.conv(*arrays, **options)


@pytest.mark.parametrize(
    "case",
    [
        case("empty signal", (2, 0, 3), (3, 3, 4), padding="VALID"),
        case("window without taps", (2, 5, 3), (0, 3, 4)),
    ],
)
def test_refuses_sizes_of_zero(case):
    with pytest.raises(ValueError):
        ops.conv(jnp.zeros(case.x), jnp.zeros(case.kernel), **case.options)
