"""The two maps of which every normalization is made: ``moments`` and ``normalize``.

With a_i the weight of a value in the mean (1/N, or 0 where a mask leaves it out)::

    m = sum_i a_i x_i                      v = sum_i a_i (x_i - m)^2
    dL/dx_i = a_i (dL/dm + 2 (x_i - m) dL/dv)

    y_i = s r (x_i - m) + b                r = (v + epsilon)^(-1/2)
    dL/dx_i = s r dL/dy_i                  dL/db = sum_i dL/dy_i
    dL/ds = r sum_i (x_i - m) dL/dy_i      dL/dm = -r sum_i s dL/dy_i
    dL/dv = -1/2 r^3 sum_i s (x_i - m) dL/dy_i

Combined for batch normalization, where m, v, s and b belong to a channel, this is
the closed form of Ioffe and Szegedy 2015, with xhat = r (x - m)::

    dL/dx = s r (dL/dy - mean(dL/dy) - xhat mean(xhat dL/dy))

Batch, layer and group normalization differ only in the axes of the sums. Over several
devices, with m_k and v_k those of device k, ``m = mean_k m_k`` and ``v = mean_k (v_k +
(m_k - m)^2)``; JAX has the gradient of a mean over devices.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from numpy.lib.array_utils import normalize_axis_tuple

from cnnjax.ops import choice
from cnnjax.ops.gradient import custom_vjp, vary_alike
from cnnjax.typing import Array


class Devices(NamedTuple):
    """The devices over which moments are means.

    Attributes:
        axis_name: as in ``jax.lax.pmean``; ``None``: each device for itself.
        groups: sets of devices that share moments; ``None``: all.
    """

    axis_name: Any = None
    groups: Any = None


ALONE = Devices()


def moments(
    x: jax.Array,
    axes: Sequence[int],
    *,
    mask: Array | None = None,
    fast: bool = True,
    devices: Devices = ALONE,
) -> tuple[jax.Array, jax.Array]:
    """The mean and the variance (divided by N) of ``x`` over ``axes``.

    Args:
        x: any shape; half precision is summed in float32.
        axes: the axes that they are taken over, which stay, with size 1.
        mask: broadcastable to ``x``; where it is false, a value does not count.
        fast: whether to compute the variance as E[x^2] - m^2, in one pass; accurate
            unless the mean is much larger than the deviation.
        devices: the devices that share the moments.

    Raises:
        ValueError: an axis that ``x`` does not have, or complex values.
    """
    if jnp.iscomplexobj(x):
        raise ValueError(f"x is {x.dtype}, expected a real dtype")
    x = jnp.asarray(x, jnp.promote_types(x.dtype, jnp.float32))
    axes = tuple(sorted(normalize_axis_tuple(axes, x.ndim, "axes")))
    if mask is not None:
        mask = jnp.broadcast_to(jnp.asarray(mask, bool), x.shape)
        x, mask = vary_alike(jnp.where(mask, x, 0), mask)
    return _over_devices(*_moments(x, mask, axes, fast), devices)


@custom_vjp("axes", "fast")
def _moments(x, mask, axes, fast):
    """The moments of ``x``, which is 0 where ``mask`` is false."""
    count = _count(x, mask, axes)
    mean = x.sum(axes, keepdims=True) / count
    if fast:
        square = (x * x).sum(axes, keepdims=True) / count
        return mean, jnp.maximum(square - mean * mean, 0)
    centered = _keep(x - mean, mask)
    return mean, (centered * centered).sum(axes, keepdims=True) / count


def _moments_fwd(x, mask, axes, fast):
    mean, variance = _moments(x, mask, axes, fast)
    return (mean, variance), (x, mask, mean, variance)


def _moments_bwd(axes, fast, residuals, cotangents):
    x, mask, mean, variance = residuals
    dmean, dvariance = cotangents
    if fast:  # no gradient where rounding made the variance 0
        dvariance = jnp.where(variance > 0, dvariance, 0)
    count = _count(x, mask, axes)
    dx = dmean / count + (x - mean) * (2 * dvariance / count)
    return _keep(dx, mask), None


_moments.defvjp(_moments_fwd, _moments_bwd)


def normalize(
    x: jax.Array,
    mean: jax.Array,
    variance: jax.Array,
    scale: jax.Array | None = None,
    bias: jax.Array | None = None,
    *,
    epsilon: float = 1e-5,
    dtype: Any = None,
) -> jax.Array:
    """``scale (x - mean) / sqrt(variance + epsilon) + bias``.

    Args:
        x: any shape.
        mean: as many axes as ``x``, of size 1 where values share it.
        variance: the shape of ``mean``.
        scale: as many axes as ``x``; ``None`` means 1.
        bias: the shape of ``scale``; ``None`` means 0.
        epsilon: added to the variance before the root is taken.
        dtype: of the result; by default that of ``x``.

    Raises:
        ValueError: the result would have an integer dtype.
    """
    dtype = jnp.dtype(dtype or x.dtype)
    if not jnp.issubdtype(dtype, jnp.inexact):
        raise ValueError(f"the result would be {dtype}, expected a floating dtype")
    shape = next((a.shape for a in (scale, bias) if a is not None), mean.shape)
    scale = jnp.ones(shape, mean.dtype) if scale is None else scale
    bias = jnp.zeros(shape, mean.dtype) if bias is None else bias
    arrays = vary_alike(x, mean, variance, scale, bias)
    return _normalize(*arrays, epsilon, dtype)


@custom_vjp("epsilon", "dtype")
def _normalize(x, mean, variance, scale, bias, epsilon, dtype):
    factor = lax.rsqrt(variance + epsilon) * scale
    return ((x - mean) * factor + bias).astype(dtype)


def _normalize_fwd(x, mean, variance, scale, bias, epsilon, dtype):
    y = _normalize(x, mean, variance, scale, bias, epsilon, dtype)
    return y, (x, mean, variance, scale, bias)


def _normalize_bwd(epsilon, dtype, residuals, dy):
    x, mean, variance, scale, _ = residuals
    r = lax.rsqrt(variance + epsilon)
    dy = dy.astype(jnp.result_type(x, mean, scale))
    # One pair of sums, over the axes that all four gradients are summed over; each
    # gradient then takes its factors, and the sum over the rest.
    shape = jnp.broadcast_shapes(mean.shape, scale.shape)
    if shape == x.shape:
        total, product = dy, (x - mean) * dy
    else:
        # A CPU would store x - m, which the gradient of m uses, too.
        centered = x - choice.barrier_on("cpu", mean)
        sums = _sum_like(dy, shape), _sum_like(centered * dy, shape)
        total, product = lax.optimization_barrier(sums)  # or dbias reads dy once more
    dscale = _sum_like(r * product, scale.shape)
    dbias = _sum_like(total, scale.shape)
    dmean = -r * _sum_like(scale * total, mean.shape)
    dvariance = -0.5 * r**3 * _sum_like(scale * product, mean.shape)
    gradients = (scale * r * dy, dmean, dvariance, dscale, dbias)
    return tuple(g.astype(a.dtype) for g, a in zip(gradients, residuals, strict=True))


_normalize.defvjp(  # pyright: ignore[reportGeneralTypeIssues] (no cycle is there)
    _normalize_fwd, _normalize_bwd
)


def _over_devices(mean, variance, devices):
    """The moments of all data from those of each device's."""
    if devices.axis_name is None:
        return mean, variance
    pmean = partial(
        lax.pmean, axis_name=devices.axis_name, axis_index_groups=devices.groups
    )
    common = pmean(mean)
    return common, pmean(variance + (mean - common) ** 2)


def _count(x, mask, axes):
    """How many values each mean is taken over: 1 / a_i."""
    if mask is None:
        count = math.prod(x.shape[axis] for axis in axes)
        # A symbolic size has a value only when the exported program is called.
        return float(count) if isinstance(count, int) else jnp.asarray(count, x.dtype)
    return jnp.sum(mask, axes, x.dtype, keepdims=True)


def _keep(x, mask):
    return x if mask is None else jnp.where(mask, x, 0)


def _sum_like(x, shape):
    """Sums ``x`` over the axes on which ``shape`` has size 1."""
    pairs = enumerate(zip(x.shape, shape, strict=True))
    axes = tuple(i for i, (n, k) in pairs if k == 1 and n != 1)
    return x.sum(axes, keepdims=True)
