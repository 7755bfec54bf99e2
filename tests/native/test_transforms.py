"""The custom calls under every transformation of JAX, held to XLA's convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnjax import ops
from tests.support.ops.closeness import normal

OPTIONS = {"strides": (2, 1), "padding": ((1, 0), (1, 1))}
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def make_arrays(*axes, seed=0):
    rng = np.random.default_rng(seed)
    shapes = (2, 5, 6, 4), (3, 2, 4, 8)
    return [normal(rng, *axes, *shape, dtype=np.float32)[0] for shape in shapes]


def make_loss(backend):
    def loss(x, kernel):
        return jnp.sum(jnp.sin(ops.conv(x, kernel, backend=backend, **OPTIONS)))

    return loss


def assert_close(actual, expected):
    actual, expected = jax.tree.leaves(actual), jax.tree.leaves(expected)
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


def both(transform, *args):
    """The same transformation of both losses."""
    results = [transform(make_loss(backend))(*args) for backend in ("native", "xla")]
    assert_close(*results)
    return results[0]


def gradient(loss):
    return jax.value_and_grad(loss, (0, 1))


def test_compiled_or_not_the_numbers_are_the_same():
    args = make_arrays()
    eager = both(gradient, *args)
    compiled = both(lambda loss: jax.jit(gradient(loss)), *args)
    np.testing.assert_array_equal(eager[1][1], compiled[1][1])


def test_derivatives_of_higher_order():
    v, u = make_arrays(seed=1), make_arrays(seed=2)

    def along(function, direction):
        def derivative(*args):
            gradients = jax.grad(function, (0, 1))(*args)
            return sum(map(jnp.vdot, gradients, direction))

        return derivative

    both(
        lambda loss: jax.jit(gradient(along(along(loss, v), u))),
        *make_arrays(),
    )


@pytest.mark.parametrize("in_axes", [(0, None), (None, 0), (0, 0), (1, 2)])
def test_vmap_of_the_gradient(in_axes):
    many = make_arrays(3)
    args = [
        a[0] if axis is None else jnp.moveaxis(a, 0, axis)
        for a, axis in zip(many, in_axes, strict=True)
    ]
    both(lambda loss: jax.jit(jax.vmap(gradient(loss), in_axes)), *args)


@pytest.mark.parametrize("outer", [(0, None), (None, 0), (0, 0)])
@pytest.mark.parametrize("inner", [(0, None), (None, 0), (0, 0)])
def test_vmap_within_vmap(inner, outer):
    args = []
    for a, *axes in zip(make_arrays(3, 2), outer, inner, strict=True):
        for axis, position in zip(axes, (0, -5), strict=True):
            a = a if axis == 0 else lax.index_in_dim(a, 1, position, keepdims=False)
        args.append(a)
    both(lambda loss: jax.vmap(jax.vmap(gradient(loss), inner), outer), *args)


def test_many_mapped_kernels_are_a_loop_over_one_image():
    x, kernels = make_arrays()[0], make_arrays(5)[1]
    mapped = jax.vmap(lambda k: ops.conv(x, k, backend="native", **OPTIONS))(kernels)
    for y, kernel in zip(mapped, kernels, strict=True):
        alone = ops.conv(x, kernel, backend="native", **OPTIONS)
        np.testing.assert_array_equal(y, alone)


def test_scan_and_checkpoint():
    x, kernels = make_arrays()[0], make_arrays(3)[1][..., :4]

    def network(wrap):
        def loss(backend):
            def layer(x, kernel):
                return ops.relu(ops.conv(x, kernel, backend=backend)), None

            return lambda x, k: jnp.sum(lax.scan(wrap(layer), x, k)[0] ** 2)

        return [jax.jit(gradient(loss(b)))(x, kernels) for b in ("native", "xla")]

    plain = network(lambda layer: layer)
    assert_close(*plain)
    assert_close(network(jax.checkpoint)[0], plain[0])


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_programs_for_other_platforms_have_no_custom_call(platform):
    step = jax.jit(jax.grad(make_loss("auto"), (0, 1)))
    exported = jax.export.export(step, platforms=[platform])(*make_arrays())
    assert "custom_call @cnnjax" not in exported.mlir_module()


def test_programs_for_cpus_are_exported_with_xla_alone():
    args = make_arrays()
    step = jax.jit(jax.grad(make_loss("xla"), (0, 1)))
    exported = jax.export.export(step, platforms=["cpu"])(*args)
    assert_close(exported.call(*args), step(*args))
    with pytest.raises(ValueError, match="custom call"):
        jax.export.export(jax.jit(make_loss("auto")), platforms=["cpu"])(*args)


def test_stock_operations_stay_stock():
    with ops.gradients("autodiff"):
        text = jax.jit(jax.grad(make_loss("auto"), (0, 1))).lower(*make_arrays())
    assert "custom_call" not in text.as_text()
