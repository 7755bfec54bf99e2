"""Batch normalization's kernels, held to its formulas in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from tests.support.native.programs import run

SHAPES = [(64, 17, 9, 40), (3, 11, 21)]
ENDS = [
    {"relu": False, "adds": False},
    {"relu": True, "adds": False},
    {"relu": False, "adds": True},
    {"relu": True, "adds": True},
    {"relu": 0.7, "adds": False},
    {"relu": 0.7, "adds": True},
]


def make_arrays(shape, adds, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    x, weight, add = rng.standard_normal((3, *shape))
    scale, bias = 1 + 0.3 * rng.standard_normal((2, shape[-1]))
    images = [jnp.asarray(2 * x + 3, dtype), jnp.asarray(add, dtype)]
    return [images[0], scale, bias, images[1] if adds else None], weight


def make_loss(weight, relu, backend):
    def loss(x, scale, bias, add):
        y, mean, variance = ops.batch_norm(
            x, scale, bias, add=add, relu=relu, backend=backend
        )
        return jnp.sum(y * weight) + jnp.sum(mean * scale) + jnp.sum(variance**2)

    return loss


def as_dtype(arrays, dtype):
    return [None if a is None else jax.device_put(np.asarray(a, dtype)) for a in arrays]


def derivatives(loss, order):
    numbers = (0, 1, 2, 3)
    first = jax.value_and_grad(loss, numbers)
    if order == 1:
        return first

    def of_gradient(*arrays):
        return sum(jnp.sum(jnp.sin(g)) for g in jax.tree.leaves(first(*arrays)[1]))

    return jax.value_and_grad(of_gradient, numbers)


def assert_close(actual, expected, tolerance):
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert np.abs(a - b).max() <= tolerance * np.abs(b).max()


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("end", ENDS, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_gradients_are_those_of_the_formulas(shape, end, order, x64):
    arrays, weight = make_arrays(shape, end["adds"], np.float64)
    args = weight, end["relu"]
    found = derivatives(make_loss(*args, "native"), order)(
        *as_dtype(arrays, jnp.float32)
    )
    expected = derivatives(make_loss(*args, "xla"), order)(*arrays)
    assert_close(found, expected, 1e-5 if order == 1 else 1e-3)


def test_bfloat16_is_computed_in_float32():
    arrays, _ = make_arrays((8, 9, 24), True, jnp.bfloat16)
    x, scale, bias, add = arrays
    options = {"add": add, "relu": True}
    y, mean, variance = ops.batch_norm(x, scale, bias, backend="native", **options)
    wide = {"add": add.astype(jnp.float32), "relu": True}
    expected = ops.batch_norm(x.astype(jnp.float32), scale, bias, **wide)
    assert y.dtype == jnp.bfloat16 and mean.dtype == jnp.float32
    assert_close((mean, variance), expected[1:], 1e-5)
    assert_close(y, expected[0], 2**-8)


@pytest.mark.parametrize("in_axes", [(0, 0, 0), (0, None, 0), (None, 0, None)])
def test_vmap_is_one_after_another(in_axes):
    arrays, _ = make_arrays((3, 6, 5, 8), False)
    scale = jnp.stack([jnp.asarray(arrays[1]) * k for k in (1.0, 2.0, 3.0)])
    whole = [arrays[0], scale, scale + 1]
    args = [a if axis == 0 else a[0] for a, axis in zip(whole, in_axes, strict=True)]

    def gradient(x, scale, bias):
        def loss(x):
            y, *_ = ops.batch_norm(x, scale, bias, relu=True, backend="native")
            return jnp.sum(jnp.sin(y))

        return jax.grad(loss)(x)

    mapped = jax.vmap(gradient, in_axes)(*args)
    for place in range(3):
        pairs = zip(args, in_axes, strict=True)
        one = [a[place] if axis == 0 else a for a, axis in pairs]
        assert_close(mapped[place], gradient(*one), 1e-6)


def test_the_variance_is_exact_where_the_mean_is_large():
    x = 1e4 + np.random.default_rng(0).normal(size=(4096, 8)).astype(np.float32)
    ones, zeros = jnp.ones(8), jnp.zeros(8)
    _, mean, variance = ops.batch_norm(jnp.asarray(x), ones, zeros, backend="native")
    np.testing.assert_allclose(mean, x.mean(0, np.float64), rtol=1e-6)
    np.testing.assert_allclose(variance, x.var(0, np.float64), rtol=1e-4)


def test_a_nan_stays_in_its_channel():
    x = np.ones((5, 4, 16), np.float32)
    x[2, 1, 3] = np.nan
    y, *_ = ops.batch_norm(
        jnp.asarray(x), jnp.ones(16), jnp.zeros(16), relu=True, backend="native"
    )
    assert np.isnan(y[..., 3]).all()
    assert np.isfinite(np.delete(y, 3, -1)).all()


def test_an_empty_batch_has_no_moments_but_a_shape():
    x = jnp.zeros((0, 4, 16))
    y, mean, variance = ops.batch_norm(x, jnp.ones(16), jnp.zeros(16), backend="native")
    assert y.shape == x.shape
    assert np.isnan(mean).all() and np.isnan(variance).all()


@pytest.mark.slow
def test_the_number_of_threads_changes_nothing():
    """Sums are made in parts that the sizes decide."""
    program = (
        "import jax, jax.numpy as jnp, numpy as np\n"
        "from cnnjax import ops\n"
        "x = jnp.sin(jnp.arange(64 * 33 * 31 * 24.0)).reshape(64, 33, 31, 24)\n"
        "f = lambda x: ops.batch_norm(x, jnp.ones(24), jnp.zeros(24), relu=True,"
        " backend='native')[0]\n"
        "dx = jax.grad(lambda x: (f(x) * x).sum())(x)\n"
        "print(hash(np.asarray(f(x)).tobytes() + np.asarray(dx).tobytes()))\n"
    )
    seen = {
        run("-c", program, OMP_NUM_THREADS=count, PYTHONHASHSEED="0")
        for count in ("1", "2", "3")
    }
    assert len(seen) == 1


def test_native_refuses_what_it_cannot_compute(x64):
    x = jnp.zeros((4, 16), jnp.float64)
    with pytest.raises(ValueError, match=r"float64 x \(4, 16\).*use 'auto'"):
        ops.batch_norm(x, jnp.ones(16), jnp.zeros(16), backend="native")


def test_what_is_added_has_the_shape_of_x():
    with pytest.raises(ValueError, match=r"add has shape \(4, 8\), expected \(4, 16\)"):
        ops.batch_norm(
            jnp.zeros((4, 16)), jnp.ones(16), jnp.zeros(16), add=jnp.zeros((4, 8))
        )
