"""The table of batch normalization against the programs that are lowered."""

import jax
import jax.numpy as jnp
import pytest

from cnnjax.native import library
from cnnjax.ops import norm
from cnnjax.ops.norm.choose import choose
from cnnjax.ops.norm.fused import batch_norm_add_relu

IMAGE, NARROW = (4, 3, 5, 16), (4, 3, 5, 7)
# x, options, and a part of the reason where it is XLA's.
CASES = [
    (IMAGE, {}, ""),
    (IMAGE, {"relu": True, "backend": "native"}, ""),
    (IMAGE, {"backend": "xla"}, "the backend is 'xla'"),
    (IMAGE, {"dtype": jnp.bfloat16}, "x is float32 and y bfloat16"),
    (NARROW, {}, "7 channels do not fill a vector of 8"),
    (NARROW, {"backend": "native"}, ""),
]


@pytest.mark.skipif(library.status().library is None, reason="needs the kernels")
@pytest.mark.parametrize(("shape", "options", "reason"), CASES, ids=str)
def test_explains_what_runs(shape, options, reason):
    x, scale = (jax.ShapeDtypeStruct(s, jnp.float32) for s in (shape, shape[-1:]))
    found = norm.explain(norm.make_problem(x, **options))

    def loss(x, scale, bias):
        y, *_ = batch_norm_add_relu(x, scale, bias, **options)
        return jnp.sum(jnp.sin(y))

    step = jax.jit(jax.grad(loss, (0, 1, 2)))
    program = step.trace(x, scale, scale).lower().as_text()
    name = "xla" if reason else "native"
    targets = "cnnjax_batch_norm_v1", "cnnjax_batch_norm_gradient_v1"
    for (implementation, why), target in zip(found.values(), targets, strict=True):
        assert implementation == name and reason in why
        assert (target in program) == (name == "native")


def test_other_platforms_run_the_same_operation_without_the_kernels():
    problem = norm.make_problem(jax.ShapeDtypeStruct(IMAGE, jnp.float32))
    if library.status().library is not None:
        on_gpu = norm.explain(problem, "gpu")["forward"]
        assert on_gpu == ("xla_fused_by_g", "the kernels are for CPUs only")
        on_tpu = norm.explain(problem, "tpu")["forward"]
        assert on_tpu == ("xla_fused", "the kernels are for CPUs only")
    divided = choose(problem, "gpu", "a mesh divides the arrays")
    assert divided == ("xla", "a mesh divides the arrays")


def test_a_description_is_hashable_and_equal_for_equal_layers():
    x = jnp.zeros(IMAGE)
    one, same, other = (norm.make_problem(x, relu=relu) for relu in (6, 6.0, True))
    assert hash(one) == hash(same) and one == same != other
