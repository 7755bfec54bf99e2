"""The table of poolings against the programs that are lowered."""

import jax
import jax.numpy as jnp
import pytest

from cnnjax import ops
from cnnjax.native import library
from cnnjax.ops import choice, pool
from cnnjax.ops.pool.choose import choose

TARGETS = {
    "max_pool": ("cnnjax_max_pool_v1", "cnnjax_max_pool_place_v1"),
    "avg_pool": ("cnnjax_window_sum_v1", "cnnjax_window_spread_v1"),
}
IMAGE = (2, 9, 8, 16)
# x, the window, the backend, and a part of the reason where it is XLA's.
CASES = [
    (IMAGE, 2, "auto", ""),
    (IMAGE, 2, "xla", "the backend is 'xla'"),
    (IMAGE, 2, "native", ""),
    (IMAGE, 1, "auto", "a window of 1 tap is a copy"),
    (IMAGE, 1, "native", ""),
    ((2, 9, 8, 7), 2, "auto", "7 channels do not fill a vector of 8"),
    ((2, 9, 8, 7), 2, "native", ""),
    (IMAGE, (7, 5), "auto", ""),  # an axis at a time
    ((1, 300, 16), 257, "auto", "257 taps, expected at most 256"),
]


@pytest.mark.skipif(library.status().library is None, reason="needs the kernels")
@pytest.mark.parametrize("operation", TARGETS)
@pytest.mark.parametrize(("shape", "window", "backend", "reason"), CASES, ids=str)
def test_explains_what_runs(operation, shape, window, backend, reason):
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    found = pool.explain(pool.make_problem(x, window, backend=backend), operation)

    def loss(x):
        return getattr(ops, operation)(x, window, backend=backend).sum()

    program = jax.jit(jax.grad(loss)).trace(x).lower().as_text()
    for label, target in zip(found, TARGETS[operation], strict=True):
        name = "xla" if reason else "native"
        assert found[label].implementation == name
        assert reason in found[label].reason
        # The sum that the loss takes needs no forward map of an average.
        if operation == "max_pool" or label == "input_gradient":
            assert (target in program) == (name == "native")


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.float64])
def test_says_which_dtypes_there_are(dtype, x64):
    problem = pool.make_problem(jax.ShapeDtypeStruct(IMAGE, dtype), 2)
    (forward, backward) = pool.explain(problem).values()
    assert forward == backward
    assert forward.implementation == "xla"
    assert f"are {jnp.dtype(dtype)}, expected float32 or bfloat16" in forward.reason


def test_a_tpu_pools_whole_windows():
    problem = pool.make_problem(jax.ShapeDtypeStruct(IMAGE, jnp.float32), (7, 5))
    for operation, names in (
        ("max_pool", ["reduce_window", "select_and_scatter"]),
        ("avg_pool", ["reduce_window", "reduce_window"]),
    ):
        found = pool.explain(problem, operation, "tpu")
        assert [row.implementation for row in found.values()] == names


@pytest.mark.parametrize(
    ("window", "strides", "operation", "names"),
    [
        (3, 1, "max_pool", ["xla", "xla"]),
        (3, 1, "avg_pool", ["xla", "xla"]),
        ((7, 5), 1, "max_pool", ["reduce_window", "xla"]),
        ((7, 5), (7, 6), "max_pool", ["reduce_window", "select_and_scatter"]),
        ((7, 5), 1, "avg_pool", ["reduce_window", "reduce_window"]),
    ],
)
def test_a_gpu_pools_whole_windows_where_they_are_large(
    window, strides, operation, names
):
    x = jax.ShapeDtypeStruct(IMAGE, jnp.float32)
    problem = pool.make_problem(x, window, strides, "SAME")
    found = pool.explain(problem, operation, "gpu")
    assert [row.implementation for row in found.values()] == names


def test_a_gpu_computes_only_the_maximum_where_no_gradient_is_taken():
    def program(function):
        traced = jax.jit(function).trace(jax.ShapeDtypeStruct(IMAGE, jnp.float32))
        return traced.lower(lowering_platforms=("cuda",)).as_text()

    def maximum(x):
        return ops.max_pool(x, 3).sum()

    assert "reduce_window" in program(maximum)
    assert "reduce_window" not in program(jax.grad(maximum))


def test_other_platforms_and_obstacles_leave_it_to_xla():
    problem = pool.make_problem(jax.ShapeDtypeStruct(IMAGE, jnp.float32), 2)
    on_gpu = choose(problem, "place", "gpu")
    assert on_gpu == ("xla", "the kernels are for CPUs only")
    divided = choose(problem, "place", "cpu", "a mesh divides the arrays")
    assert divided == ("xla", "a mesh divides the arrays")
    assert choose(problem, "pick", "cpu").implementation == "xla"


def test_a_choice_for_all_platforms_is_not_lowered_twice():
    same = dict.fromkeys(choice.PLATFORMS, "xla")
    program = jax.make_jaxpr(lambda x: choice.run(same, {"xla": jnp.sin}, x))(1.0)
    assert "platform" not in str(program)


def test_a_description_is_hashable_and_equal_for_equal_poolings():
    x = jnp.zeros(IMAGE)
    one, same, other = (pool.make_problem(x, k) for k in (2, (2, 2), 3))
    assert hash(one) == hash(same) and one == same != other
