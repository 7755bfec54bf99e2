"""The sums and the gradient of fused batch normalization for accelerators."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from cnnjax.ops.choice import Choice
from cnnjax.ops.norm import fused, xla


@pytest.mark.parametrize("name", ["xla_fused", "xla_fused_by_g"])
@pytest.mark.parametrize("relu", [False, True, 6.0])
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_orders_equal_one_operation_after_the_other(
    name, adds, relu, dtype, monkeypatch
):
    keys = jax.random.split(jax.random.key(0), 4)
    x, z, v = (jax.random.normal(key, (4, 5, 6, 16)).astype(dtype) for key in keys[:3])
    scale, bias = 1 + 0.3 * jax.random.normal(keys[3], (2, 16))
    if relu == 6:  # one channel beyond it, none where rounding y decides on the side
        scale, bias = scale.at[0].set(0.1), bias.at[0].set(20.0)

    def derivatives(x, scale, bias, z):
        def loss(*args):
            *args, add = args
            y, mean, variance = ops.batch_norm(
                *args, add=add if adds else None, relu=relu
            )
            y = y.astype(jnp.float32)
            return jnp.sum(jnp.sin(y)) + jnp.sum(mean * variance)

        arrays = x, scale, bias, z
        gradient = jax.grad(loss, (0, 1, 2, 3))
        second = jax.grad(lambda x: jnp.vdot(gradient(x, scale, bias, z)[0], v))
        return (*gradient(*arrays), second(x))

    # In float32: rounding y would decide for another side of a kink of ReLU.
    wide, wide_z = x.astype(jnp.float32), z.astype(jnp.float32)
    with ops.backend("xla"):
        expected = derivatives(wide, scale, bias, wide_z)
    choice = Choice(name, "as on an accelerator")
    monkeypatch.setattr(fused, "choose", lambda *_: choice)
    found = jax.jit(derivatives)(x, scale, bias, z)
    program = str(jax.make_jaxpr(derivatives)(x, scale, bias, z))
    has_barrier = name == "xla_fused_by_g" or (bool(relu) and not adds)
    assert ("optimization_barrier" in program) == has_barrier
    assert [a.dtype for a in found] == [dtype, *[jnp.float32] * 2, dtype, dtype]
    for a, b in zip(found, expected, strict=True):
        a, b = (np.asarray(array, np.float64) for array in (a, b))
        # Gradients of one element cancel sums over 120; bfloat16 has 8 bits.
        tolerance = (3e-2 if dtype == jnp.bfloat16 else 1e-4) * max(np.abs(b).max(), 1)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    "shape",
    [(7, 3), (1, 5), (64, 3, 5, 2), (3, 1031, 4), (2, 9, 8, 7, 600), (1, 1, 1, 70000)],
    ids=str,
)
def test_a_sum_in_parts_equals_the_sum(shape):
    values = np.random.default_rng(0).integers(-9, 9, shape).astype(np.float32)
    found = jax.jit(xla._sum_in_parts)(values)
    np.testing.assert_array_equal(found, values.reshape(-1, shape[-1]).sum(0))


def test_the_gradient_for_gpus_takes_a_batch_of_symbolic_size(monkeypatch):
    choice = Choice("xla_fused_by_g", "as on a GPU")
    monkeypatch.setattr(fused, "choose", lambda *_: choice)
    rows = jnp.linspace(0.5, 1.5, 16)

    def gradient(x):
        return jax.grad(lambda x: jnp.sum(ops.batch_norm(x, rows, rows)[0] ** 3))(x)

    (batch,) = jax.export.symbolic_shape("b")
    exported = jax.export.export(jax.jit(gradient))(
        jax.ShapeDtypeStruct((batch, 5, 6, 16), jnp.float32)
    )
    x = jax.random.normal(jax.random.key(0), (4, 5, 6, 16))
    np.testing.assert_allclose(exported.call(x), gradient(x), rtol=1e-4, atol=1e-4)
