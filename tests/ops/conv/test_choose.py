"""What is chosen on a CPU, and that it is chosen there alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from cnnjax.errors import BackendError
from cnnjax.native.conv import find
from cnnjax.ops.conv.choose import explain
from tests.support.ops.conv.cases import Case
from tests.support.ops.conv.map_check import make_problem, make_window

MAPS = ("forward", "input_gradient", "kernel_gradient")
LARGE = Case((128, 32, 32, 16), (3, 3, 16, 32), {"strides": 2})
CHOICES = {
    "large": (LARGE._replace(options={}), "xla xla im2col"),
    "strided": (LARGE, "xla polyphase im2col"),
    "strided, small": (
        Case((128, 16, 16, 32), (3, 3, 32, 64), {"strides": 2}),
        "xla xla im2col",
    ),
    "small": (Case((8, 9, 8, 16), (3, 3, 16, 32), {}), "xla xla xla"),
    "1-D": (Case((128, 256, 32), (5, 32, 64), {"strides": 2}), "xla xla xla"),
    "few outputs": (Case((64, 56, 56, 64), (3, 3, 64, 8), {}), "xla xla xla"),
    "few columns": (Case((128, 28, 28, 1), (3, 3, 1, 32), {}), "xla xla xla"),
    "volume": (Case((2, 9, 8, 7, 3), (3, 2, 3, 3, 4), {}), "im2col im2col im2col"),
    "huge": (Case((1, 99, 99, 99, 64), (3, 3, 3, 64, 64), {}), "xla xla xla"),
    "input dilation": (
        Case((2, 9, 8, 7, 3), (3, 2, 3, 3, 4), {"input_dilation": 2}),
        "xla xla xla",
    ),
    "groups": (
        Case((2, 9, 8, 8), (3, 3, 2, 8), {"groups": 4}),
        "grouped grouped im2col",
    ),
    "many groups": (
        Case((2, 9, 8, 64), (3, 3, 2, 64), {"groups": 32}),
        "xla xla im2col",
    ),
    "depthwise": (
        Case((2, 9, 8, 8), (3, 3, 1, 8), {"groups": 8}),
        "depthwise depthwise depthwise",
    ),
    "1x1": (Case((2, 9, 8, 8), (1, 1, 8, 4), {}), "pointwise pointwise pointwise"),
    "1x1, strided": (
        Case((2, 9, 8, 8), (1, 1, 8, 4), {"strides": (2, 3)}),
        "pointwise pointwise pointwise",
    ),
    "no images": (Case((0, 9, 8, 8), (3, 3, 2, 8), {"groups": 4}), "xla xla xla"),
}


@pytest.mark.parametrize("name", CHOICES)
def test_chooses_by_shape(name):
    case, expected = CHOICES[name]
    window = make_window(case)
    window = window._replace(input_dilation=case.option("input_dilation"))
    problem = make_problem(case.x, case.kernel, window)
    choices = [explain(problem, name, "cpu", "xla") for name in MAPS]
    assert [choice.implementation for choice in choices] == expected.split()
    assert all(choice.reason for choice in choices)


@pytest.mark.parametrize("platform", ["gpu", "tpu"])
def test_other_devices_use_xla(platform):
    case, _ = CHOICES["1x1"]
    problem = make_problem(case.x, case.kernel, make_window(case))
    chosen = [explain(problem, name, platform).implementation for name in MAPS]
    assert dict(zip(MAPS, chosen, strict=True)) == {
        "forward": "xla",
        "input_gradient": "xla, by axes",
        "kernel_gradient": "xla",
    }


def test_explains_what_the_compiled_library_does():
    case = Case((8, 14, 14, 64), (3, 3, 64, 64), {})
    problem = make_problem(case.x, case.kernel, make_window(case))
    choice = explain(problem, "kernel_gradient")
    assert choice.implementation == "native"
    found = find("kernel_gradient", case.x, case.kernel, problem.window(), "float32")
    assert choice.reason == f"fastest here: {found.name}"
    spread = dataclasses.replace(problem, strides=(2, 2), input_dilation=(2, 2))
    with pytest.raises(BackendError, match="together with input dilation; use 'auto'"):
        explain(spread, "forward", backend="native")


def gradient_of(case):
    def loss(x, kernel):
        return jnp.sum(jnp.sin(ops.conv(x, kernel, **case.options)))

    return jax.grad(loss, argnums=(0, 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["strided", "volume", "groups", "1x1, strided"])
def test_gradients_of_two_orders_equal_autodiff(name):
    case, _ = CHOICES[name]
    rng = np.random.default_rng(0)
    args = [jnp.asarray(rng.standard_normal(s), jnp.float32) for s in case[:2]]

    def derivatives(*args):
        gradient = gradient_of(case)
        second = jax.grad(lambda *args: sum(jnp.vdot(g, g) for g in gradient(*args)))
        return *gradient(*args), second(*args)

    with ops.backend("xla"):
        ours = jax.jit(derivatives)(*args)
    with ops.gradients("autodiff"):
        stock = jax.jit(derivatives)(*args)
    for a, b in zip(ours, stock, strict=True):
        # Sums of 100000 terms in another order.
        scale = float(jnp.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * scale)


def test_other_devices_keep_the_convolution_of_xla():
    case, _ = CHOICES["strided"]
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in case[:2]]
    with ops.backend("xla"):
        traced = jax.jit(gradient_of(case)).trace(*shapes)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("stablehlo.convolution") == 3
    assert "stablehlo.while" not in text
    text = traced.lower(lowering_platforms=("cpu",)).as_text()
    assert "stablehlo.while" in text


@pytest.mark.parametrize(
    ("platform", "channels", "expected"),
    [("cuda", 2, 1), ("cuda", 4, 0), ("tpu", 2, 0), ("cpu", 2, 0)],
)
def test_a_gpu_computes_the_gradient_of_a_small_3d_kernel_first(
    platform, channels, expected
):
    x = jax.ShapeDtypeStruct((1, 8, 8, 8, channels), jnp.float32)
    kernel = jax.ShapeDtypeStruct((3, 3, 3, channels, channels), jnp.float32)
    gradient = jax.grad(lambda *a: ops.conv(*a).sum(), argnums=(0, 1))
    traced = jax.jit(gradient).trace(x, kernel)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert text.count("optimization_barrier") == expected
