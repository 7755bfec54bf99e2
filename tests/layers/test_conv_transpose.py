"""``layers.ConvTranspose`` against ``flax.linen.ConvTranspose``."""

import dataclasses
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from jax import lax

from cnnjax import layers
from tests.support.layers.flax_likeness import KEY, assert_same_init, assert_same_layer


def mask(*shape):
    return (np.arange(np.prod(shape)) % 3 > 0).reshape(shape)


PLANE = (2, 3, 4, 2)
CASES = [
    ((2, 5, 3), (4, 3), {}),
    ((2, 5, 3), (4, (2,)), {"strides": (3,), "kernel_dilation": None}),
    ((2, 5, 3), (4, 4), {"padding": "VALID", "strides": (2,)}),
    ((2, 5, 3), (4, (3,)), {"padding": 1, "strides": (2,)}),
    (PLANE, (3, (3, 2)), {"strides": (2, 3), "kernel_dilation": (1, 2)}),
    (PLANE, (3, [3, 2]), {"strides": 2, "kernel_dilation": 2, "padding": "VALID"}),
    (PLANE, (3, (3, 2)), {"padding": (1, (0, 3)), "strides": (2, 1)}),
    (PLANE, (3, (3, 2)), {"transpose_kernel": True, "strides": (2, 1)}),
    (PLANE, (3, (3, 2)), {"use_bias": False}),
    (PLANE, (3, (3, 2)), {"mask": mask(3, 2, 2, 3)}),
    (
        PLANE,
        (3, (3, 2)),
        {"mask": mask(3, 2, 3, 2).astype(np.float32), "transpose_kernel": True},
    ),
    ((1, 2, 3, 4, 2), (2, (2, 3, 1)), {"strides": (1, 2, 2)}),
    ((3, 4, 2), (3, (3, 2)), {"strides": (2, 2)}),  # one image alone
    ((2, 1, 3, 3, 4, 2), (3, (3, 2)), {}),  # three batch axes
    ((0, 3, 4, 2), (3, (3, 2)), {"strides": (2, 1)}),
    (PLANE, (3, (3, 2)), {"dtype": jnp.bfloat16}),
    (PLANE, (3, (3, 2)), {"param_dtype": jnp.bfloat16}),
    (PLANE, (3, (3, 2)), {"precision": lax.Precision.HIGHEST}),
    (PLANE, (3, (3, 2)), {"preferred_element_type": jnp.float32}),
]
PERIODIC = [
    ((2, size, 2), (3, taps), {"strides": (stride,), "transpose_kernel": turned})
    for size, taps, stride, turned in [
        (4, 3, 1, False),
        (4, 4, 1, False),
        (4, 4, 1, True),
        (4, 2, 2, False),
        (4, 3, 2, True),
        (3, 4, 3, False),
        (2, 7, 1, False),  # around the ring more than once
        (2, 8, 1, True),
        (1, 5, 2, False),
        (3, 2, 4, True),  # strides larger than the kernel
    ]
] + [
    (PLANE, (3, (3, 2)), {"strides": (2, 3), "kernel_dilation": (2, 1)}),
    (PLANE, (3, (4, 3)), {"strides": 2, "transpose_kernel": True}),
    ((3, 4, 2), (3, (3, 2)), {}),
    ((1, 2, 3, 2, 2), (2, (2, 3, 1)), {"strides": (1, 2, 1)}),
]


def assert_same(shape, args, options):
    assert_same_layer(
        layers.ConvTranspose(*args, **options),
        linen.ConvTranspose(*args, **options),
        shape,
    )


@pytest.mark.parametrize(("shape", "args", "options"), CASES)
def test_is_the_layer_of_flax(shape, args, options):
    assert_same(shape, args, options)


@pytest.mark.parametrize(("shape", "args", "options"), PERIODIC)
def test_periodic_padding_is_that_of_flax(shape, args, options):
    assert_same(shape, args, {**options, "padding": "CIRCULAR"})


def test_constructor_and_call_are_those_of_flax():
    ours, theirs = layers.ConvTranspose, linen.ConvTranspose
    fields = [
        [(f.name, f.default, f.kw_only) for f in dataclasses.fields(cls)]
        for cls in (ours, theirs)
    ]
    assert fields[0] == fields[1]
    calls = [list(inspect.signature(c.__call__).parameters) for c in (ours, theirs)]
    assert calls[0] == calls[1]
    assert issubclass(ours, theirs)
    assert ours.__name__ == "ConvTranspose"


@pytest.mark.parametrize("transpose_kernel", [False, True])
def test_starts_as_the_layer_of_flax(transpose_kernel):
    options = {"transpose_kernel": transpose_kernel}
    options["bias_init"] = linen.initializers.normal()
    args = (4, (3, 2))
    assert_same_init(
        layers.ConvTranspose(*args, **options),
        linen.ConvTranspose(*args, **options),
        (1, 5, 6, 3),
    )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.int32, jnp.uint8])
def test_promotes_inputs_as_flax_does(dtype):
    x = jnp.arange(12).reshape(1, 6, 2).astype(dtype)
    ours, flax = layers.ConvTranspose(3, 2), linen.ConvTranspose(3, 2)
    variables = flax.init(KEY, x)
    a, b = ours.apply(variables, x), flax.apply(variables, x)
    assert a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_with_the_kernel_of_a_conv_it_is_its_transpose(x64):
    """Periodic only with odd kernels: for even ones Flax is off by one position."""
    rng = np.random.default_rng(0)
    for padding, window in (("SAME", (4, 3)), ("CIRCULAR", (5, 3))):
        options = {"padding": padding, "use_bias": False, "param_dtype": jnp.float64}
        down = layers.Conv(3, window, **options)
        up = layers.ConvTranspose(2, window, transpose_kernel=True, **options)
        u, v = rng.standard_normal((2, 5, 6, 2)), rng.standard_normal((2, 5, 6, 3))
        variables = down.init(KEY, u)
        y, x = down.apply(variables, u), up.apply(variables, v)
        np.testing.assert_allclose(jnp.vdot(y, v), jnp.vdot(u, x), rtol=1e-11)


REFUSALS = [
    ({"mask": np.ones((3, 3))}, r"mask has shape \(3, 3\).*\(3, 3, 2, 4\)"),
    ({"strides": 0}, "strides is 0"),
    ({"strides": (1, 2, 3)}, r"strides is \(1, 2, 3\), expected 2 numbers"),
    ({"padding": "MIRROR"}, "padding is 'MIRROR', expected SAME, VALID"),
    ({"padding": "CIRCULAR", "strides": (2,)}, r"strides is \(2,\), expected 2"),
    ({"padding": -3}, "output would be empty"),
]


@pytest.mark.parametrize(("options", "message"), REFUSALS)
def test_refuses_with_the_values_in_the_message(options, message):
    layer = layers.ConvTranspose(4, (3, 3), **options)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(layer.init, KEY, jnp.ones((1, 2, 2, 2)))


def test_refuses_an_input_with_too_few_axes():
    layer = layers.ConvTranspose(4, (3, 3))
    with pytest.raises(ValueError, match=r"\(5, 2\)"):
        jax.eval_shape(layer.init, KEY, jnp.ones((5, 2)))
