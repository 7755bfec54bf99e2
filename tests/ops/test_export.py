"""``jax.export`` of every operation with sizes that only the caller will know."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from cnnjax.errors import BackendError
from cnnjax.ops.backend import Backend
from cnnjax.ops.gradient import Mode
from tests.support.ops.closeness import normal

PLATFORMS = ("cpu", "cuda", "tpu")

pytestmark = pytest.mark.slow


def network(x, params):
    """One value per image; ``x (n, h, w, 8)``."""
    kernel, one, bias = params["kernel"], params["one"], params["bias"]
    x = ops.conv(x, kernel, bias, strides=2, relu=True)
    x, _, _ = ops.batch_norm(x, bias + 1, bias, relu=True)
    x = x + ops.conv(x, one) + ops.conv(x, kernel[..., :1, :], groups=8, padding=1)
    x = ops.max_pool(x, 3, strides=1, padding="SAME") + ops.max_pool(x, 1)
    x = ops.conv_transpose(x, kernel[:2, :2], strides=2)
    x = ops.avg_pool(x, 2, strides=2, padding="SAME", count_include_pad=False)
    x = ops.conv(x, kernel, padding="VALID", dilation=(1, 2), input_dilation=2)
    x = ops.group_norm(ops.layer_norm(x, bias + 1, bias), bias + 1, bias, groups=2)
    return ops.dense(ops.silu(ops.global_avg_pool(x)), one[0, 0], bias).sum(-1)


def value_and_gradients(x, params):
    def loss(x, params):
        return jnp.square(network(x, params)).mean()

    return network(x, params), jax.grad(loss, (0, 1))(x, params)


def make_params():
    rng = np.random.default_rng(0)
    shapes = {"kernel": (3, 3, 8, 8), "one": (1, 1, 8, 8), "bias": (8,)}
    return {name: 0.3 * normal(rng, *shape)[0] for name, shape in shapes.items()}


def images(*shape):
    return jnp.asarray(normal(np.random.default_rng(1), *shape)[0], jnp.float32)


@pytest.mark.slow
def test_a_symbolic_batch_serves_every_batch_on_every_platform():
    check("b, 9, 8, 8", [(2, 9, 8, 8), (5, 9, 8, 8)])


@pytest.mark.parametrize(("backend", "mode"), [("xla", "custom"), ("auto", "autodiff")])
def test_symbolic_sizes_are_exported_with_xla_and_with_autodiff(backend, mode):
    check("b, 9, 8, 8", [], backend=backend, mode=mode)


@pytest.mark.slow
def test_symbolic_heights_and_widths_serve_every_size():
    limits = ["h >= 8", "w >= 8"]
    check("b, h, w, 8", [(2, 9, 8, 8), (1, 12, 11, 8)], limits)


def check(
    shape,
    sizes,
    limits=(),
    backend: Backend = "auto",
    mode: Mode = "custom",
):
    x = jax.ShapeDtypeStruct(
        jax.export.symbolic_shape(shape, constraints=limits), jnp.float32
    )
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), make_params())
    with ops.backend(backend), ops.gradients(mode):
        exported = jax.export.export(jax.jit(value_and_gradients), platforms=PLATFORMS)(
            x, params
        )
    assert exported.platforms == PLATFORMS
    for size in sizes:
        actual = exported.call(images(*size), params)
        with ops.backend("xla"):
            expected = jax.jit(value_and_gradients)(images(*size), params)
        jax.tree.map(close, actual, expected)


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


def test_native_refuses_symbolic_sizes():
    x = jax.ShapeDtypeStruct(jax.export.symbolic_shape("b, 9, 8, 8"), jnp.float32)
    kernel = jnp.zeros((3, 3, 8, 8))
    with pytest.raises(BackendError, match="sizes are symbolic, expected numbers"):
        jax.eval_shape(lambda x: ops.conv(x, kernel, backend="native"), x)


def test_sizes_too_small_for_the_window_are_refused_where_they_are_numbers():
    x = jax.ShapeDtypeStruct(jax.export.symbolic_shape("b, h, 2, 8"), jnp.float32)
    with pytest.raises(ValueError, match="output would be empty"):
        jax.eval_shape(
            lambda x: ops.conv(x, jnp.zeros((3, 3, 8, 8)), padding="VALID"), x
        )
