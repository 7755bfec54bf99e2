"""The three maps of a convolution are each other's derivatives, under every transform.

What is compared with is the same composition around XLA's own convolution.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnjax import ops
from tests.support.ops.closeness import normal
from tests.support.ops.conv.cases import Case, stock_conv

CLOSURE = [
    Case((2, 6, 2), (3, 2, 3), {"strides": 2, "padding": ((2, -1),)}),
    Case((2, 4, 5, 4), (3, 2, 2, 6), {"groups": 2, "dilation": (1, 2)}),
    Case((1, 4, 3, 2), (2, 3, 2, 3), {"padding": "CIRCULAR", "strides": (2, 1)}),
    Case((1, 3, 4, 2), (3, 4, 2, 2), {"padding": "REFLECT", "flip_kernel": True}),
    Case((1, 3, 2, 4, 1), (2, 2, 1, 1, 2), {"padding": 1, "input_dilation": (1, 2, 1)}),
]


def make_arrays(case, *axes, seed=0):
    rng = np.random.default_rng(seed)
    return normal(rng, *axes, *case.x)[0], normal(rng, *axes, *case.kernel)[0]


def make_losses(case):
    """A loss that no derivative of any order makes constant, ours and stock."""

    def ours(x, kernel):
        return jnp.sum(jnp.sin(ops.conv(x, kernel, **case.options)))

    def stock(x, kernel):
        return jnp.sum(jnp.sin(stock_conv(case, x, kernel)))

    return ours, stock


def directional(function, *directions):
    """The derivative of a scalar along one direction per argument."""

    def derivative(*args):
        gradients = jax.grad(function, argnums=tuple(range(len(args))))(*args)
        return sum(jnp.vdot(g, d) for g, d in zip(gradients, directions, strict=True))

    return derivative


@pytest.mark.parametrize("case", CLOSURE)
def test_second_and_third_derivatives_equal_autodiff(case, x64):
    losses = make_losses(case)
    args, v, u = (make_arrays(case, seed=seed) for seed in range(3))

    def derivatives(loss, *args):
        second = directional(loss, *v)
        third = directional(second, *u)
        return [jax.grad(f, argnums=(0, 1))(*args) for f in (second, third)]

    ours, stock = jax.jit(lambda *args: [derivatives(f, *args) for f in losses])(*args)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(stock), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("in_axes", [(0, None), (None, 0), (0, 0)])
@pytest.mark.parametrize("case", CLOSURE[1:3])
def test_vmap_of_the_gradient_is_a_loop(case, in_axes, x64):
    """Over images, over kernels and over both."""
    loss, _ = make_losses(case)
    gradient = jax.value_and_grad(loss, argnums=(0, 1))
    many = make_arrays(case, 3)
    args = [a if axis == 0 else a[0] for a, axis in zip(many, in_axes, strict=True)]
    mapped = jax.jit(jax.vmap(gradient, in_axes))(*args)
    one = jax.jit(gradient)
    for n in range(3):
        pair = [a[n] if axis == 0 else a for a, axis in zip(args, in_axes, strict=True)]
        for a, b in zip(
            jax.tree.leaves(mapped), jax.tree.leaves(one(*pair)), strict=True
        ):
            np.testing.assert_allclose(a[n], b, rtol=1e-12, atol=1e-12)


def test_vmap_of_a_second_derivative_over_an_inner_axis(x64):
    case = CLOSURE[1]
    loss, stock = make_losses(case)
    x, kernel = make_arrays(case, 2)
    x = jnp.moveaxis(x, 0, 3)

    def run(function):
        second = jax.grad(directional(function, *make_arrays(case, seed=1)))
        return jax.jit(jax.vmap(second, (3, 0)))(x, kernel)

    np.testing.assert_allclose(run(loss), run(stock), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("padding", ["SAME", "CIRCULAR", "REFLECT"])
def test_vmap_of_volumes_with_axes_of_size_one(padding):
    """XLA:CPU dies on some products of rank 7 with such axes (jax #39257)."""
    rng = np.random.default_rng(0)
    x, _ = normal(rng, 1, 2, 1, 1, 3, 1, 2, dtype=np.float32)
    kernel, _ = normal(rng, 1, 2, 2, 1, 2, 2, 1, dtype=np.float32)

    def loss(x, kernel):
        return jnp.sum(ops.conv(x, kernel, padding=padding) ** 2)

    gradient = jax.grad(loss, argnums=(0, 1))
    mapped = jax.jit(jax.vmap(jax.vmap(gradient)))(x, kernel)
    for n in range(2):
        for a, b in zip(mapped, gradient(x[0, n], kernel[0, n]), strict=True):
            np.testing.assert_allclose(a[0, n], b, rtol=1e-5, atol=1e-5)


def test_scan_and_checkpoint_change_nothing(x64):
    rng = np.random.default_rng(0)
    (x, _), (kernels, _) = normal(rng, 2, 5, 3, 2), normal(rng, 3, 2, 3, 2, 2)

    def layer(x, kernel):
        return ops.relu(ops.conv(x, kernel)), None

    def in_a_loop(kernels):
        y = x
        for kernel in kernels:
            y, _ = layer(y, kernel)
        return jnp.sum(y**2)

    def in_a_scan(kernels):
        return jnp.sum(jax.lax.scan(layer, x, kernels)[0] ** 2)

    def recomputed(kernels):
        return jnp.sum(jax.lax.scan(jax.checkpoint(layer), x, kernels)[0] ** 2)

    expected = jax.jit(jax.grad(in_a_loop))(kernels)
    for function in (in_a_scan, recomputed):
        actual = jax.jit(jax.grad(function))(kernels)
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


def test_jit_computes_what_the_interpreter_does():
    loss, _ = make_losses(CLOSURE[0])
    args = [a.astype(jnp.float32) for a in make_arrays(CLOSURE[0])]
    plain = jax.value_and_grad(loss, argnums=(0, 1))(*args)
    compiled = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(*args)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(compiled), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@st.composite
def geometries(draw):
    """Any convolution of up to 3 axes whose output is not empty."""
    rank = draw(st.integers(1, 3))
    groups = draw(st.integers(1, 2))
    options = {name: [] for name in ("strides", "padding", "dilation")}
    options["input_dilation"], sizes, taps = [], [], []
    for _ in range(rank):
        n, k = draw(st.integers(1, 5)), draw(st.integers(1, 3))
        dilation, spread = draw(st.integers(1, 2)), draw(st.integers(1, 2))
        low = draw(st.integers(-1, 3))
        missing = (k - 1) * dilation + 1 - ((n - 1) * spread + 1) - low
        high = draw(st.integers(max(missing, -1), max(missing, -1) + 3))
        sizes.append(n)
        taps.append(k)
        options["padding"].append((low, high))
        options["strides"].append(draw(st.integers(1, 3)))
        options["dilation"].append(dilation)
        options["input_dilation"].append(spread)
    inputs, outputs = (groups * draw(st.integers(1, 2)) for _ in range(2))
    batch = draw(st.integers(1, 2))
    kernel = (*taps, inputs // groups, outputs)
    return Case((batch, *sizes, inputs), kernel, {**options, "groups": groups})


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(geometries())
def test_the_three_maps_are_adjoint(case):
    """<f(x, w), dy> = <x, g(dy, w)> = <w, h(x, dy)>."""
    with jax.enable_x64(True):
        x, kernel = make_arrays(case)

        @jax.jit
        def products(x, kernel):
            y, vjp = jax.vjp(lambda *args: ops.conv(*args, **case.options), x, kernel)
            dy = jnp.cos(jnp.arange(y.size)).reshape(y.shape)
            dx, dkernel = vjp(dy)
            return jnp.vdot(y, dy), jnp.vdot(x, dx), jnp.vdot(kernel, dkernel)

        value, by_x, by_kernel = products(x, kernel)
        np.testing.assert_allclose(by_x, value, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(by_kernel, value, rtol=1e-11, atol=1e-11)
