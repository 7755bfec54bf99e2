"""Transposed convolution against XLA's own, and as the adjoint of ``conv``."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnjax import ops
from tests.support.ops.closeness import normal, values_and_gradients
from tests.support.ops.conv.cases import CHANNELS_LAST, TAPS_FIRST, Case


def case(name, x, kernel, **options):
    return pytest.param(Case(x, kernel, options), id=name)


CASES = [
    case("same", (2, 5, 3), (3, 3, 4)),
    case("same by twos", (2, 5, 3), (3, 3, 4), strides=2),
    case("same by threes, even", (2, 5, 3), (4, 3, 2), strides=3),
    case("stride larger than the kernel", (2, 4, 2), (2, 2, 3), strides=5),
    case("valid", (2, 5, 3), (4, 3, 2), padding="VALID", strides=2),
    case("valid, stride larger", (2, 4, 2), (2, 2, 3), padding="VALID", strides=5),
    case("one tap", (2, 4, 2), (1, 2, 3), strides=2),
    case("one pixel", (2, 1, 2), (3, 2, 3), strides=2),
    case("dilation", (2, 5, 2), (3, 2, 3), strides=2, dilation=3),
    case("dilation, valid", (2, 5, 2), (3, 2, 3), dilation=2, padding="VALID"),
    case("number", (2, 5, 2), (3, 2, 3), padding=1, strides=2),
    case("numbers", (2, 4, 5, 2), (3, 2, 2, 3), padding=(0, 2), strides=(2, 1)),
    case("pairs", (2, 4, 5, 2), (3, 2, 2, 3), padding=((0, 3), (2, 1)), strides=2),
    case("crop", (2, 6, 2), (3, 2, 3), padding=((-2, 1),), strides=2),
    case("plane", (2, 3, 4, 3), (3, 2, 3, 2), strides=(3, 2), dilation=(1, 2)),
    case("transposed", (2, 5, 3), (4, 2, 3), strides=2, transpose_kernel=True),
    case(
        "transposed plane",
        (2, 3, 4, 3),
        (3, 2, 2, 3),
        strides=(2, 3),
        padding="VALID",
        transpose_kernel=True,
    ),
    case("volume", (1, 2, 3, 4, 2), (2, 3, 1, 2, 3), strides=(1, 2, 3)),
    case("no images", (0, 3, 4, 2), (3, 2, 2, 3), strides=2),
]


def stock(case):
    """What the options mean to ``lax.conv_transpose``."""
    options = dict(case.options)
    padding = options.get("padding", "SAME")
    if not isinstance(padding, str):
        sides = [padding] * case.rank if isinstance(padding, int) else padding
        padding = [(p, p) if isinstance(p, int) else p for p in sides]
    channels_last = CHANNELS_LAST[len(case.x)]
    return lambda x, kernel: lax.conv_transpose(
        x,
        kernel,
        case.option("strides"),
        padding,
        rhs_dilation=case.option("dilation"),
        dimension_numbers=(channels_last, TAPS_FIRST[len(case.x)], channels_last),
        transpose_kernel=options.get("transpose_kernel", False),
    )


def make_arrays(case):
    rng = np.random.default_rng(0)
    return normal(rng, *case.x)[0], normal(rng, *case.kernel)[0]


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradients_equal_autodiff(case, x64):
    args = make_arrays(case)
    plain = stock(case)
    dy, _ = normal(np.random.default_rng(1), *jax.eval_shape(plain, *args).shape)

    def ours(x, kernel):
        return ops.conv_transpose(x, kernel, **case.options)

    for a, b in zip(*values_and_gradients((ours, plain), dy, *args), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def numpy_conv_transpose(x, kernel, stride, before, length):
    """Each value adds its scaled kernel, rotated by 180 degrees, to the output."""
    y = np.zeros((len(x), length, kernel.shape[-1]))
    for o, k in np.ndindex(x.shape[1], len(kernel)):
        i = o * stride - k + before
        if 0 <= i < length:
            y[:, i] += x[:, o] @ kernel[k]
    return y


def test_equals_loops_in_numpy(x64):
    rng = np.random.default_rng(0)
    (x, exact), (kernel, taps) = normal(rng, 2, 4, 3), normal(rng, 5, 3, 2)
    bias, offset = normal(rng, 2)
    for padding, before, length in (
        ("SAME", 3, 8),
        ("VALID", 4, 11),
        (((2, 1),), 2, 6),
    ):
        y = ops.conv_transpose(x, kernel, bias, strides=2, padding=padding)
        expected = numpy_conv_transpose(exact, taps, 2, before, length) + offset
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("strides", [1, 2, (3, 2)])
@pytest.mark.parametrize("dilation", [1, (1, 2)])
def test_is_the_transpose_of_conv(padding, strides, dilation, x64):
    """<conv(u, w), v> = <u, conv_transpose(v, w)>."""
    steps = (strides, strides) if isinstance(strides, int) else strides
    options = {"padding": padding, "dilation": dilation, "strides": strides}
    rng = np.random.default_rng(0)
    kernel, _ = normal(rng, 3, 4, 2, 3)
    v, _ = normal(rng, 2, 3, 4, 3)
    up = ops.conv_transpose(v, kernel, transpose_kernel=True, **options)
    u, _ = normal(rng, *up.shape)
    assert padding != "SAME" or up.shape[1:3] == (3 * steps[0], 4 * steps[1])
    down = ops.conv(u, kernel, **options)
    assert down.shape == v.shape
    np.testing.assert_allclose(jnp.vdot(down, v), jnp.vdot(u, up), rtol=1e-11)


def test_second_order_and_vmap_equal_autodiff(x64):
    [case] = [c.values[0] for c in CASES if c.id == "plane"]
    x, kernel = make_arrays(case)

    def run(function):
        def second(x, kernel):
            loss = jax.grad(lambda *a: jnp.sum(jnp.sin(function(*a))), (0, 1))
            return sum(jnp.sum(g**2) for g in loss(x, kernel))

        mapped = jax.vmap(jax.grad(second, (0, 1)), (None, 0))
        return mapped(x, jnp.stack([kernel, -2 * kernel]))

    functions = lambda *a: ops.conv_transpose(*a, **case.options), stock(case)
    for a, b in zip(*jax.jit(lambda: [run(f) for f in functions])(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_bias_is_added_at_every_position(x64):
    x, kernel = jnp.ones((2, 3, 4, 2)), jnp.ones((3, 3, 2, 5))
    bias = jnp.arange(5.0)
    y = ops.conv_transpose(x, kernel, bias, strides=2)
    without = ops.conv_transpose(x, kernel, strides=2)
    np.testing.assert_allclose(y - without, jnp.broadcast_to(bias, y.shape), rtol=1e-12)
    dbias = jax.grad(lambda b: ops.conv_transpose(x, kernel, b, strides=2).sum())(bias)
    np.testing.assert_array_equal(dbias, 2 * 6 * 8)


def test_keeps_bfloat16():
    x, kernel = jnp.ones((1, 3, 2), jnp.bfloat16), jnp.ones((2, 2, 4), jnp.bfloat16)
    y, vjp = jax.vjp(lambda *a: ops.conv_transpose(*a, strides=2), x, kernel)
    assert y.dtype == jnp.bfloat16
    assert all(g.dtype == jnp.bfloat16 for g in vjp(y))
    np.testing.assert_array_equal(y.astype(float), 2)


REFUSALS = [
    ({"padding": "CAUSAL"}, {}, "padding is 'CAUSAL', expected SAME, VALID"),
    ({"strides": 0}, {}, "strides is 0"),
    ({"dilation": (1, 2, 3)}, {}, r"dilation is \(1, 2, 3\), expected 2"),
    ({"padding": -4}, {}, "output would be empty"),
    ({}, {"kernel": (3, 3, 2, 4)}, r"x has 3 channels"),
    ({}, {"kernel": (3, 3, 4)}, r"x has shape \(1, 4, 5, 3\).*\(3, 3, 4\)"),
    ({}, {"kernel": (3,)}, r"x has shape \(1, 4, 5, 3\).*\(3,\)"),
    ({"padding": 1}, {"kernel": (3,)}, r"x has shape \(1, 4, 5, 3\).*\(3,\)"),
    ({"transpose_kernel": True}, {"kernel": (3,)}, r"\(1, 4, 5, 3\).*\(3,\)"),
    ({"transpose_kernel": True}, {"kernel": (3, 3, 3, 4)}, "3 channels"),
    ({}, {"x": (4, 3)}, r"x has shape \(4, 3\)"),
    ({}, {"x": (3,)}, r"x has shape \(3,\)"),
]


@pytest.mark.parametrize(("options", "shapes", "message"), REFUSALS)
def test_refuses_with_the_values_in_the_message(options, shapes, message):
    x = jnp.ones(shapes.get("x", (1, 4, 5, 3)))
    kernel = jnp.ones(shapes.get("kernel", (3, 3, 3, 4)))
    with pytest.raises(ValueError, match=message):
        ops.conv_transpose(x, kernel, **options)
