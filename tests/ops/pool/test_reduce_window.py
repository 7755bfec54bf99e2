"""The poolings as accelerators compute them, run on a CPU, against NumPy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from cnnjax import ops
from cnnjax.ops import pool as pooling
from cnnjax.ops.pool import maps
from cnnjax.ops.pool.choose import plan
from tests import reference
from tests.support.ops.closeness import normal, values_and_gradients
from tests.support.ops.pool.cases import COMMON, Case

SINGLE: Any = np.float32
OVERLAPPING = Case((2, 7, 6, 3), (3, 2), {"strides": (2, 1), "padding": "SAME"})
LARGE = Case((2, 9, 11, 2), (7, 5), {"strides": (2, 3), "padding": "SAME"})
DISJOINT = Case((2, 9, 11, 2), (7, 5), {"strides": (7, 6), "padding": "SAME"})
VOLUME = Case((2, 5, 4, 6, 3), (2, 3, 2), {"strides": 2, "padding": "SAME"})


@pytest.fixture(params=["tpu", "gpu"])
def as_elsewhere(request, monkeypatch):
    """Has every platform pool as a TPU or a GPU does."""

    def elsewhere(problem, name, platform, obstacle=""):
        return plan(problem, name, request.param, obstacle)

    monkeypatch.setattr(maps, "plan", elsewhere)


def whole_numbers(*shape, dtype: Any = np.float64):
    """Whole numbers, a fifth of them zeros: each window has its maximum twice."""
    x = np.random.default_rng(0).integers(-1, 4, shape).clip(0).astype(dtype)
    return jnp.asarray(x), x.astype(np.float64)


def program(function, *arrays, platform="tpu"):
    traced = jax.jit(function).trace(*arrays)
    return traced.lower(lowering_platforms=(platform,)).as_text()


def cotangent(case, dtype: Any = np.float64):
    sizes = reference.positions(case.x[1:-1], case.window, case.geometry)
    rng = np.random.default_rng(1)
    return normal(rng, case.x[0], *sizes, case.x[-1], dtype=dtype)


@pytest.mark.parametrize(
    "case", [*COMMON, OVERLAPPING, LARGE, DISJOINT, VOLUME], ids=str
)
def test_values_and_gradients_equal_numpy(case, as_elsewhere, x64):
    (x, exact), (dy, exact_dy) = whole_numbers(*case.x), cotangent(case)
    where = case.window, case.geometry
    pools = [
        lambda x: ops.max_pool(x, case.window, **case.options),
        lambda x: ops.avg_pool(x, case.window, **case.options),
    ]
    found = values_and_gradients(pools, dy, x)
    expected = [
        (
            reference.max_pool(exact, *where),
            reference.max_pool_gradient(exact, exact_dy, *where),
        ),
        (
            reference.avg_pool(exact, *where),
            reference.avg_pool_gradient(exact, exact_dy, *where),
        ),
    ]
    for pair, exact_pair in zip(found, expected, strict=True):
        for a, b in zip(pair, exact_pair, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("pool", [ops.max_pool, ops.avg_pool])
@pytest.mark.parametrize("case", [OVERLAPPING, LARGE], ids=["3x2", "7x5"])
def test_two_orders_and_vmap_equal_the_other_implementations(pool, case, monkeypatch):
    rng = np.random.default_rng(0)
    many, v = (normal(rng, 3, *case.x, dtype=SINGLE)[0] for _ in range(2))

    def derivatives(x, v):
        def loss(x):
            return jnp.sum(jnp.sin(pool(jnp.cos(x), case.window, **case.options)))

        gradient = jax.grad(loss)
        return gradient(x), jax.grad(lambda x: jnp.vdot(gradient(x), v))(x)

    expected = [derivatives(*pair) for pair in zip(many, v, strict=True)]
    with monkeypatch.context() as patch:
        patch.setattr(
            maps, "plan", lambda problem, name, *_: plan(problem, name, "tpu")
        )
        assert (
            "select_and_scatter" in str(jax.make_jaxpr(derivatives)(many[0], v[0]))
            or pool is ops.avg_pool
        )
        found = jax.jit(jax.vmap(derivatives))(many, v)
    for order, values in enumerate(found):
        stacked = np.stack([pair[order] for pair in expected])
        np.testing.assert_allclose(values, stacked, rtol=1e-4, atol=1e-5)


def test_the_first_of_equal_pixels_and_the_first_nan_take_the_gradient(as_elsewhere):
    nan = jnp.nan
    dy = jnp.arange(1.0, 6).reshape(1, 5, 1)
    for pixels, expected in (
        ([5, 5, 5, 5, 5, 5, 5], [1, 2, 3, 4, 5, 0, 0]),
        ([1, nan, 3, nan, 2, 0, 7], [0, 3, 0, 7, 0, 0, 5]),
        ([jnp.inf, nan, nan, jnp.inf, 0, 0, 0], [0, 3, 3, 4, 5, 0, 0]),
    ):
        x = jnp.asarray(pixels, jnp.float32).reshape(1, 7, 1)
        [(y, dx)] = values_and_gradients([lambda x: ops.max_pool(x, 3)], dy, x)
        windows = jnp.stack([x[0, i : i + 3, 0] for i in range(5)])
        np.testing.assert_array_equal(y.ravel(), windows.max(1))
        np.testing.assert_array_equal(dx.ravel(), expected)


def test_bfloat16_keeps_its_dtype_and_is_close(as_elsewhere):
    case, dtype = OVERLAPPING, jnp.bfloat16
    (x, exact), (dy, exact_dy) = (
        whole_numbers(*case.x, dtype=dtype),
        cotangent(case, dtype),
    )
    where = case.window, case.geometry
    pools = [lambda x: ops.max_pool(x, case.window, **case.options)]
    [(y, dx)] = values_and_gradients(pools, dy, x)
    assert y.dtype == dx.dtype == dtype
    np.testing.assert_array_equal(y.astype(float), reference.max_pool(exact, *where))
    # Up to four windows meet on a pixel, and each sum is rounded.
    tolerance = 4 * float(jnp.finfo(dtype).eps) * np.abs(exact_dy).max()
    expected = reference.max_pool_gradient(exact, exact_dy, *where)
    np.testing.assert_allclose(dx.astype(float), expected, atol=tolerance, rtol=0)


def test_within_shard_map_and_remat(as_elsewhere):
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
    x = normal(np.random.default_rng(0), 2, 6, 5, 3, dtype=SINGLE)[0]

    def gradient(x):
        pool = jax.checkpoint(lambda x: ops.max_pool(x, 3, strides=2) ** 2)
        return jax.grad(lambda x: jnp.sum(pool(x)))(x)

    spec = PartitionSpec("data")
    mapped = jax.shard_map(gradient, mesh=mesh, in_specs=spec, out_specs=spec)
    np.testing.assert_array_equal(jax.jit(mapped)(x), gradient(x))


@pytest.mark.parametrize(
    ("platform", "expected"), [("tpu", True), ("cuda", False), ("cpu", False)]
)
def test_only_a_tpu_gets_the_operation(platform, expected):
    x = jnp.zeros((2, 8, 6, 16))
    text = program(
        jax.grad(lambda x: jnp.sum(ops.max_pool(x, 2, strides=2) ** 2)),
        x,
        platform=platform,
    )
    assert ("select_and_scatter" in text) == expected


def test_a_batch_of_symbolic_size_is_exported_for_all_platforms():
    (batch,) = jax.export.symbolic_shape("b")
    x = jax.ShapeDtypeStruct((batch, 8, 6, 16), jnp.float32)
    gradient = jax.grad(lambda x: jnp.sum(ops.max_pool(x, 3, strides=2) ** 2))
    exported = jax.export.export(jax.jit(gradient), platforms=("cpu", "tpu", "cuda"))
    image = normal(np.random.default_rng(0), 3, 8, 6, 16, dtype=SINGLE)[0]
    found = exported(x).call(image)
    np.testing.assert_allclose(found, gradient(image), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "implementation"),
    [
        ({"dilation": 2}, "xla"),
        ({"padding": ((-1, 0), (0, 0))}, "xla"),
        ({"padding": ((1, 0), (0, 1))}, "select_and_scatter"),
    ],
)
def test_what_the_operation_lacks_is_left_to_slices(
    options, implementation, as_elsewhere
):
    case = Case((2, 9, 8, 3), (2, 3), options)
    problem = pooling.make_problem(jnp.zeros(case.x), case.window, **options)
    found = pooling.explain(problem, "max_pool", "tpu")["input_gradient"]
    assert found.implementation == implementation
    (x, exact), (dy, exact_dy) = (
        whole_numbers(*case.x, dtype=SINGLE),
        cotangent(case, np.float32),
    )
    pools = [lambda x: ops.max_pool(x, case.window, **options)]
    [(_, dx)] = values_and_gradients(pools, dy, x)
    expected = reference.max_pool_gradient(exact, exact_dy, case.window, case.geometry)
    np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-6)
