"""Values and gradients of the poolings against loops in NumPy and against XLA."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, PartitionSpec

from cnnjax import ops
from cnnjax.ops import taps
from cnnjax.ops.pool import problem, xla
from tests import reference
from tests.support.ops.closeness import normal, values_and_gradients
from tests.support.ops.pool.cases import COMMON, DILATED, Case, stock_pool


def many_ties(*shape, dtype=np.float64):
    """Whole numbers, a fifth of them zeros: each window has its maximum twice."""
    x = np.random.default_rng(0).integers(-1, 4, shape).clip(0).astype(dtype)
    return jax.device_put(x), x.astype(np.float64)


def cotangent(case, dtype=np.float64):
    sizes = reference.positions(case.x[1:-1], case.window, case.geometry)
    rng = np.random.default_rng(1)
    return normal(rng, case.x[0], *sizes, case.x[-1], dtype=dtype)


def max_pool(case):
    return lambda x: ops.max_pool(x, case.window, **case.options)


def stock_max_pool(case):
    return lambda x: stock_pool(case, x, -jnp.inf, lax.max)


def avg_pool(case, **options):
    return lambda x: ops.avg_pool(x, case.window, **case.options, **options)


def stock_avg_pool(case):
    return lambda x: stock_pool(case, x, 0.0, lax.add) / np.prod(case.window)


def assert_all_close(actual, expected):
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("case", COMMON + DILATED)
def test_max_pool_equals_numpy_and_autodiff(case, x64):
    """XLA has no gradient for dilated windows, so those hold to NumPy alone."""
    (x, exact), (dy, exact_dy) = many_ties(*case.x), cotangent(case)
    pools = [max_pool(case)]
    if "dilation" not in case.options:
        pools.append(stock_max_pool(case))
    ours, *stock = values_and_gradients(pools, dy, x)
    where = case.window, case.geometry
    y = reference.max_pool(exact, *where)
    np.testing.assert_array_equal(ours[0], y)
    assert_all_close(ours, (y, reference.max_pool_gradient(exact, exact_dy, *where)))
    if stock:
        assert_all_close(ours, *stock)


@pytest.mark.parametrize("case", COMMON)
def test_avg_pool_equals_numpy_and_autodiff(case, x64):
    rng = np.random.default_rng(0)
    (x, exact), (dy, exact_dy) = normal(rng, *case.x), cotangent(case)
    with_padding, without, stock = values_and_gradients(
        (
            avg_pool(case),
            avg_pool(case, count_include_pad=False),
            stock_avg_pool(case),
        ),
        dy,
        x,
    )
    where = case.window, case.geometry
    assert_all_close(with_padding, stock)
    for ours, count in ((with_padding, True), (without, False)):
        # The mean of nothing is NaN.
        with np.errstate(invalid="ignore", divide="ignore"):
            y = reference.avg_pool(exact, *where, count)
            dx = reference.avg_pool_gradient(exact, exact_dy, *where, count)
        assert_all_close(ours, (y, dx))


@pytest.mark.parametrize("largest", [1, 10**6])
def test_whole_window_and_axis_by_axis_agree(largest, monkeypatch, x64):
    case = Case((2, 7, 6, 2), (4, 3), {"strides": (2, 3), "padding": ((3, 1), (0, 2))})
    monkeypatch.setattr(taps, "LARGEST_UNROLLED", largest)
    parts = problem.stages(
        problem.make_problem(jnp.zeros(case.x), case.window, (2, 3), ((3, 1), (0, 2)))
    )
    assert len(parts) == (3 if largest == 1 else 1)  # 3 taps, then 2 of 2 taps
    (x, exact), (dy, exact_dy) = many_ties(*case.x), cotangent(case)
    pools = values_and_gradients((max_pool(case), avg_pool(case)), dy, x)
    where = case.window, case.geometry
    for (_, dx), gradient in zip(
        pools, (reference.max_pool_gradient, reference.avg_pool_gradient), strict=True
    ):
        expected = gradient(exact, exact_dy, *where)
        np.testing.assert_allclose(dx, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_gradients_keep_shape_and_dtype(dtype):
    case = Case((2, 5, 6, 3), (3, 2), {"strides": 2, "padding": "SAME"})
    (x, exact), (dy, exact_dy) = many_ties(*case.x, dtype=dtype), cotangent(case, dtype)
    where = case.window, case.geometry
    for pool, value, gradient in [
        (max_pool, reference.max_pool, reference.max_pool_gradient),
        (avg_pool, reference.avg_pool, reference.avg_pool_gradient),
    ]:
        [(y, dx)] = values_and_gradients([pool(case)], dy, x)
        assert y.dtype == dx.dtype == dtype
        # At most four windows meet on a pixel; each is rounded, then their sum.
        eps = float(jnp.finfo(dtype).eps)
        np.testing.assert_allclose(y.astype(float), value(exact, *where), rtol=eps)
        np.testing.assert_allclose(
            dx.astype(float),
            gradient(exact, exact_dy, *where),
            atol=4 * eps * np.abs(exact_dy).max(),
            rtol=0,
        )


def test_average_of_many_halves_is_summed_in_float32():
    x = jnp.full((1, 1024, 1), 0.1, jnp.bfloat16)
    mean = jax.jit(lambda x: ops.avg_pool(x, 1024))(x)
    assert mean.ravel()[0] == x[0, 0, 0]


def test_the_first_of_equal_pixels_gets_the_gradient():
    def gradient(x, **options):
        x = np.asarray(x, np.float32)[None, ..., None]
        pool = jax.jit(jax.grad(lambda x: ops.max_pool(x, 2, **options).sum()))
        return pool(x)[0, ..., 0]

    constant = gradient(np.zeros((2, 4)), strides=2)
    np.testing.assert_array_equal(constant, [[1, 0, 1, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(gradient([[0, 1], [1, 1]]), [[0, 1], [0, 0]])
    # Each of three overlapping windows takes its own first.
    np.testing.assert_array_equal(gradient([5, 5, 5, 5]), [1, 1, 1, 0])
    np.testing.assert_array_equal(gradient([5, 5, 5], padding=((1, 1),)), [2, 1, 1])


def test_after_a_relu_that_is_zero_nothing_flows():
    x = -jnp.ones((1, 4, 4, 1))
    pooled = jax.grad(lambda x: ops.max_pool(ops.relu(x), 2, strides=2).sum())(x)
    np.testing.assert_array_equal(pooled, jnp.zeros_like(x))


def test_a_nan_is_the_maximum_and_the_first_takes_the_gradient():
    nan = jnp.nan
    x = jnp.asarray([1.0, nan, 3.0, nan, 2.0, 0.0, 7.0]).reshape(1, 7, 1)
    dy = jnp.arange(1.0, 6).reshape(1, 5, 1)
    [(y, dx)] = values_and_gradients([lambda x: ops.max_pool(x, 3)], dy, x)
    np.testing.assert_array_equal(y.ravel(), [nan, nan, nan, nan, 7])
    np.testing.assert_array_equal(dx.ravel(), [0, 3, 0, 7, 0, 0, 5])


@pytest.mark.parametrize("shape", [(1, 6, 1), (2, 4, 1, 3), (1, 2, 4, 2, 1)])
@pytest.mark.parametrize("axis", [0, 2, -1])
def test_windows_that_tile_the_image_under_vmap(shape, axis):
    """The axes of their taps stand beside those of the image, some of one place."""
    window = tuple(min(size, 2) for size in shape[1:-1])

    def pools(x):
        largest = ops.max_pool(x, window, strides=window, backend="xla")
        return largest + ops.avg_pool(x, window, strides=window, backend="xla")

    gradient = jax.grad(lambda x: jnp.sum(jnp.sin(pools(x))))
    many = jax.random.normal(jax.random.key(0), (3, *shape))
    mapped = jax.jit(jax.vmap(gradient, axis, axis))(jnp.moveaxis(many, 0, axis))
    alone = jnp.stack([gradient(x) for x in many])
    np.testing.assert_allclose(jnp.moveaxis(mapped, axis, 0), alone, rtol=1e-6)


@pytest.mark.parametrize("pool", [ops.max_pool, ops.avg_pool])
def test_a_mesh_with_explicit_axes_keeps_its_sharding(pool):
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Explicit,))
    gradient = jax.grad(lambda x: jnp.sum(pool(x, 2, strides=2, backend="xla") ** 2))
    x = jax.random.normal(jax.random.key(0), (2, 4, 6, 3))
    with jax.set_mesh(mesh):
        sharded = jax.device_put(x, PartitionSpec("data"))
        dx = jax.jit(gradient)(sharded)
        assert jax.typeof(dx) == jax.typeof(sharded)
    np.testing.assert_allclose(dx, gradient(x), rtol=1e-6)


def test_minus_infinity_keeps_its_value_and_flows_as_in_xla():
    """A window of -inf alone is a tie with the padding, which comes first here."""
    case = Case((1, 3, 3, 1), (2, 2), {"padding": ((1, 0), (0, 1))})
    dy = jnp.arange(1.0, 10).reshape(case.x)
    for x in (jnp.full(case.x, -jnp.inf), jnp.zeros(case.x).at[0, 1, 1].set(-jnp.inf)):
        pools = max_pool(case), stock_max_pool(case)
        for a, b in zip(*values_and_gradients(pools, dy, x), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("count", "dtype"), [(256, jnp.uint8), (257, jnp.uint16)])
def test_the_number_of_a_tap_takes_as_few_bytes_as_it_can(count, dtype):
    x = jnp.zeros((1, count, 1))
    pooling = problem.make_problem(x, count)
    _, which = jax.eval_shape(lambda x: xla.max_and_which(x, pooling), x)
    assert which.dtype == dtype


def test_a_long_window_is_few_operations():
    """One slice per tap would take XLA minutes to compile."""
    pool = jax.grad(lambda x: ops.max_pool(x, 4096).sum())
    lines = str(jax.make_jaxpr(pool)(jnp.zeros((1, 4096, 1)))).splitlines()
    assert len(lines) < 1000


REFUSALS = [
    ((jnp.zeros((4, 4)), 2), {}, r"x is float32\(4, 4\).*1 to 3 spatial axes"),
    ((jnp.zeros((1,) * 6), 1), {}, r"\(1, 1, 1, 1, 1, 1\)"),
    ((jnp.zeros((1, 4, 1), int), 2), {}, r"x is int32\(1, 4, 1\)"),
    ((jnp.zeros((1, 4, 1)), (2, 2)), {}, r"window is \(2, 2\), expected 1 numbers"),
    ((jnp.zeros((1, 4, 1)), 0), {}, "window is 0"),
    ((jnp.zeros((1, 4, 1)), 2), {"strides": 0}, "strides is 0"),
    ((jnp.zeros((1, 4, 1)), 2), {"padding": "CIRCULAR"}, "'CIRCULAR', expected one of"),
    ((jnp.zeros((1, 4, 1)), 5), {}, r"covers \(5,\) does not fit.*\(4,\)"),
]


@pytest.mark.parametrize("pool", [ops.max_pool, ops.avg_pool])
@pytest.mark.parametrize(("args", "options", "message"), REFUSALS)
def test_refuses_with_the_values_in_the_message(pool, args, options, message):
    with pytest.raises(ValueError, match=message):
        pool(*args, **options)


@pytest.mark.alone
def test_max_pool_gradient_is_ten_times_faster_than_autodiff():
    """On a CPU XLA scatters serially. The least of runs in turn, against load."""
    if jax.default_backend() != "cpu":
        pytest.skip("about XLA's CPU compiler")
    case = Case((128, 28, 28, 32), (2, 2), {"strides": 2})
    rng = np.random.default_rng(0)
    (x, _), (dy, _) = (
        normal(rng, *s, dtype=np.float32) for s in (case.x, (128, 14, 14, 32))
    )

    backward = jax.jit(lambda vjp, dy: vjp(dy))
    vjps = [
        jax.vjp(jax.jit(pool), x)[1] for pool in (max_pool(case), stock_max_pool(case))
    ]
    seconds = [[], []]
    for turn in range(12):
        for vjp, taken in zip(vjps, seconds, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(backward(vjp, dy))
            if turn:  # the first one compiles
                taken.append(time.perf_counter() - start)
    ours, stock = map(min, seconds)
    assert ours * 10 < stock
