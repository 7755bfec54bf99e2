"""Normalization and its closed-form gradient against plain formulas in jax.numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from cnnjax.ops.norm.maps import Devices, moments, normalize
from tests.support.ops.norm.cases import (
    assert_equal,
    make_arrays,
    plain_moments,
    plain_normalize,
    total,
)

AXES = [
    ((5, 3), (0,)),
    ((5, 3), (-1,)),
    ((4, 2, 3), (0, 2)),
    ((2, 3, 5, 4), (2, 0, -3)),
    ((2, 3, 5, 4), (1, 2, 3)),
    ((2, 3, 1, 5, 4), (0, 1, 2, 3)),
    ((2, 3, 4, 5, 2), (1, 3)),
]


@pytest.mark.parametrize(("shape", "axes"), AXES)
def test_moments_and_normalization_equal_autodiff(shape, axes, x64):
    """The parameters belong to the last axis, whichever the moments belong to."""
    fast = len(axes) % 2 == 0
    x, scale, bias = make_arrays(shape, shape[-1:], shape[-1:])

    def function(moments_of, normalized):
        def run(x, scale, bias):
            mean, variance = moments_of(x)
            parameters = (a.reshape(*[1] * (x.ndim - 1), -1) for a in (scale, bias))
            return normalized(x, mean, variance, *parameters), mean, variance

        return run

    ours = function(lambda x: moments(x, axes, fast=fast), normalize)
    plain = function(lambda x: plain_moments(x, axes), plain_normalize)
    assert_equal(ours, plain, (x, scale, bias))


@pytest.mark.parametrize("fast", [True, False])
def test_over_no_axes_each_value_is_its_own_mean(fast):
    x = jnp.asarray([[1.5, -2.0]])
    mean, variance = moments(x, (), fast=fast)
    np.testing.assert_array_equal(mean, x)
    np.testing.assert_array_equal(variance, 0)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("mask_shape", [(4, 3, 5), (4, 1, 1), (3, 1), (4, 3, 1)])
def test_masked_values_do_not_count(mask_shape, fast, x64):
    x = make_arrays((4, 3, 5))[0]
    mask = np.arange(np.prod(mask_shape)).reshape(mask_shape) % 3 != 1
    assert_equal(
        lambda x: moments(x, (0, 1), mask=mask.astype(int), fast=fast),
        lambda x: plain_moments(x, (0, 1), mask),
        (x,),
        order=2 if mask_shape == (3, 1) else 1,
    )


@pytest.mark.parametrize("fast", [True, False])
def test_what_is_masked_may_be_nan(fast):
    """As padding may be that was never written."""
    x = np.float32([1, 2, np.nan, 4, np.inf]).reshape(5, 1)
    mask = np.isfinite(x)

    def both(x):
        return moments(x, (0,), mask=mask, fast=fast)

    mean, variance = both(x)
    np.testing.assert_allclose(mean.item(), 7 / 3, rtol=1e-6)
    np.testing.assert_allclose(variance.item(), 14 / 9, rtol=1e-6)
    dx = jax.grad(lambda x: sum(a.sum() for a in both(x)))(jnp.asarray(x))
    expected = np.where(mask, 1 / 3 + 2 / 3 * (np.where(mask, x, 0) - 7 / 3), 0)
    np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("shape", [(7, 3), (4, 2, 3), (2, 3, 5, 4), (2, 1, 3, 2, 5)])
def test_batch_norm_equals_autodiff(shape, fast, x64):
    def plain(x, scale, bias):
        mean, variance = plain_moments(x, tuple(range(x.ndim - 1)))
        y = plain_normalize(x, mean, variance, scale, bias, 1e-3)
        return y, mean.ravel(), variance.ravel()

    def ours(x, scale, bias):
        options = {"epsilon": 1e-3, "use_fast_variance": fast}
        return ops.batch_norm(x, scale, bias, **options)

    order = 2 if len(shape) == 3 else 1
    assert_equal(ours, plain, make_arrays(shape, shape[-1:], shape[-1:]), order)


def test_batch_norm_with_a_mask_equals_autodiff(x64):
    mask = np.arange(12).reshape(4, 3, 1) % 4 > 0

    def plain(x, scale, bias):
        mean, variance = plain_moments(x, (0, 1), mask)
        y = plain_normalize(x, mean, variance, scale, bias)
        return y, mean.ravel(), variance.ravel()

    def ours(x, scale, bias):
        return ops.batch_norm(x, scale, bias, mask=mask)

    assert_equal(ours, plain, make_arrays((4, 3, 5), (5,), (5,)))


def test_inference_equals_autodiff(x64):
    x, mean, scale, bias = make_arrays((4, 3, 2, 5), (5,), (5,), (5,))
    args = x, mean, jnp.exp(bias), scale, bias
    assert_equal(
        lambda *args: ops.batch_norm_inference(*args, epsilon=0.1),
        lambda *args: plain_normalize(*args, epsilon=0.1),
        args,
    )


@pytest.mark.parametrize("axes", [(-1,), (1, 2, 3), (0, 2), (3, 1)])
def test_layer_norm_equals_autodiff(axes, x64):
    def plain(x, scale, bias):
        stats = plain_moments(x, axes)
        return plain_normalize(x, *stats, scale, bias, 1e-6)

    def ours(x, scale, bias):
        return ops.layer_norm(x, scale, bias, axes=axes)

    order = 2 if axes == (-1,) else 1
    assert_equal(ours, plain, make_arrays((2, 3, 5, 4), (4,), (4,)), order)


@pytest.mark.parametrize(
    ("shape", "groups"),
    [((4, 6), 2), ((3, 5, 6), 1), ((3, 5, 6), 3), ((1, 3, 2, 6), 6)],
)
def test_group_norm_equals_autodiff(shape, groups, x64):
    def plain(x, scale, bias):
        parts = jnp.split(x, groups, axis=-1)
        stats = [plain_moments(part, tuple(range(1, x.ndim))) for part in parts]
        pairs = zip(parts, stats, strict=True)
        whole = [plain_normalize(part, *s, epsilon=1e-6) for part, s in pairs]
        return scale * jnp.concatenate(whole, axis=-1) + bias

    def ours(x, scale, bias):
        return ops.group_norm(x, scale, bias, groups=groups)

    order = 2 if groups == 3 else 1
    assert_equal(ours, plain, make_arrays(shape, (6,), (6,)), order)


def test_two_passes_are_exact_where_the_mean_is_large():
    """E[x^2] - m^2 would lose all digits: 4096^2 is 2^24, where float32 counts by 2."""
    x = 4096 + np.random.default_rng(0).standard_normal((256, 3)).astype(np.float32)
    mean, variance = moments(x, (0,), fast=False)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean[0], exact.mean(0), rtol=1e-6)
    # A mean that is off by d adds d^2 to the variance.
    np.testing.assert_allclose(variance[0], exact.var(0), rtol=1e-5)


def test_a_variance_that_rounding_made_zero_has_no_gradient():
    """As in Flax; else r^3 = 3e7 would multiply the gradients."""
    x = jnp.asarray(1e4 + 1e-2 * np.arange(8.0).reshape(8, 1), jnp.float32)
    x = jnp.concatenate([x, 2 * x, 3 * x], axis=1)
    variance, vjp = jax.vjp(lambda x: moments(x, (0,))[1], x)
    (dx,) = vjp(jnp.ones_like(variance))
    assert (variance == 0).any()
    np.testing.assert_array_equal(dx[:, variance[0] == 0], 0)


@pytest.mark.slow
@pytest.mark.parametrize("fast", [True, False])
def test_a_constant_channel_becomes_its_bias(fast):
    x = jnp.stack([jnp.full((8, 4), 0.3), jnp.zeros((8, 4))], -1)
    scale, bias = jnp.asarray([2.0, 3.0]), jnp.asarray([-1.0, 0.5])

    def run(x):
        return ops.batch_norm(x, scale, bias, use_fast_variance=fast)

    y, mean, variance = run(x)
    np.testing.assert_allclose(mean, [0.3, 0], rtol=1e-6)
    np.testing.assert_allclose(variance, [0, 0], atol=1e-7)
    np.testing.assert_allclose(y, jnp.broadcast_to(bias, y.shape), atol=1e-4)
    assert jnp.isfinite(jax.grad(lambda x: total(run(x)))(x)).all()


def test_a_batch_of_one_position_keeps_its_value_as_mean():
    x, scale, bias = jnp.asarray([[3.0, -2.0]]), jnp.ones(2), jnp.asarray([5.0, 6.0])
    y, mean, variance = ops.batch_norm(x, scale, bias)
    np.testing.assert_array_equal(y[0], bias)
    np.testing.assert_array_equal(mean, x[0])
    np.testing.assert_array_equal(variance, 0)
    dx = jax.grad(lambda x: jnp.sum(ops.batch_norm(x, scale, bias)[0] ** 2))(x)
    np.testing.assert_array_equal(dx, 0)


def test_an_empty_batch_has_no_moments_but_a_shape():
    y, mean, variance = ops.batch_norm(jnp.ones((0, 4, 3)), jnp.ones(3), jnp.ones(3))
    assert y.shape == (0, 4, 3)
    assert jnp.isnan(mean).all() and jnp.isnan(variance).all()
    assert ops.layer_norm(jnp.ones((2, 0)), jnp.ones(0), jnp.ones(0)).shape == (2, 0)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_summed_in_float32(dtype):
    x = jnp.full((64, 64, 2), 0.1, dtype).at[::2].set(0.3)
    scale, bias = jnp.ones(2, dtype), jnp.zeros(2, dtype)
    y, mean, variance = ops.batch_norm(x, scale, bias)
    exact = np.asarray(x, np.float64)
    assert (y.dtype, mean.dtype, variance.dtype) == (dtype, jnp.float32, jnp.float32)
    np.testing.assert_allclose(mean, exact.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(variance, exact.var((0, 1)), rtol=1e-4)

    def loss(*args):
        return total(ops.batch_norm(*args))

    dx, dscale, dbias = jax.grad(loss, (0, 1, 2))(x, scale, bias)
    assert dx.dtype == dscale.dtype == dbias.dtype == dtype
    dbias = jax.grad(lambda b: ops.batch_norm(x, scale, b)[0].sum())(bias)
    np.testing.assert_array_equal(dbias, 4096)


REFUSALS = [
    (lambda x: moments(x, (3,)), r"axis 3 .* dimension 3"),
    (lambda x: moments(x, (-4,)), r"axis -4 .* dimension 3"),
    (lambda x: moments(x, (0, -3)), "repeated axis"),
    (lambda x: moments(x + 1j, (0,)), "x is complex64, expected a real dtype"),
    (lambda x: ops.batch_norm(x.astype(int), x[0, 0], x[0, 0]), "would be int32"),
    (lambda x: ops.batch_norm(x, x[0], x[0, 0]), r"scale .* \(3, 4\),.* \(2, 3, 4\)"),
    (lambda x: ops.layer_norm(x, x[0, 0], x[0, 0, :3]), r"bias .* \(3,\), .* \(4,\)"),
    (lambda x: ops.group_norm(x, x[0, 0], x[0, 0], groups=3), "groups is 3.*of 4"),
    (lambda x: ops.group_norm(x, x[0, 0], x[0, 0], groups=0), "groups is 0.*of 4"),
]


@pytest.mark.parametrize(("call", "message"), REFUSALS)
def test_refuses_with_the_values_in_the_message(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.ones((2, 3, 4)))


def test_devices_are_hashable_and_alone_by_default():
    assert hash(Devices("data", ((0, 1), (2, 3)))) != hash(Devices())
    assert Devices() == (None, None)


@pytest.mark.parametrize("name", ["layer", "group"])
def test_the_accurate_variance_holds_far_from_zero(name):
    """The fast formula loses all digits where the mean is 1e4 deviations away."""
    x = np.random.default_rng(0).standard_normal((2, 6, 8)).astype(np.float32) + 1e4
    options = {"groups": 1} if name == "group" else {"axes": (1, 2)}
    run = {"layer": ops.layer_norm, "group": ops.group_norm}[name]
    scale, bias = jnp.ones(8), jnp.zeros(8)
    wide = x.astype(np.float64)
    centered = wide - wide.mean((1, 2), keepdims=True)
    expected = centered / np.sqrt(wide.var((1, 2), keepdims=True) + 1e-6)
    y = run(x, scale, bias, use_fast_variance=False, **options)
    assert np.abs(y - expected).max() < 2e-3
    assert np.abs(run(x, scale, bias, **options) - expected).max() > 0.1
