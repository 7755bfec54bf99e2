"""Batch normalization in training, with the ReLU and the sum that often follow it.

For each channel, over the N positions of a batch::

    m = mean(x)      v = mean((x - m)^2)      r = (v + epsilon)^(-1/2)
    y = relu(s r (x - m) + b + z)

With g = dL/dy where y > 0 (and below ReLU's largest value), else 0, the closed form of
Ioffe and Szegedy 2015 is::

    dL/dz = g        dL/db = sum g       dL/ds = r sum g (x - m)
    dL/dx = s r g + (x - m) 2 V / N + M / N
    M = dL/dm - r s sum g                V = dL/dv - 1/2 r^3 s sum g (x - m)

So training reads x twice and, for the gradient, x and dL/dy twice. g needs neither
memory of its own nor, without z, that of y.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.native import norm as norm_native
from cnnjax.ops import explicit
from cnnjax.ops.activation import capped_relu
from cnnjax.ops.activation import relu as relu_op
from cnnjax.ops.backend import Backend, chosen_backend, refuse
from cnnjax.ops.channels import per_channel
from cnnjax.ops.gradient import custom_vjp, vary_alike
from cnnjax.ops.norm.maps import moments, normalize


class Options(NamedTuple):
    """What is not an array.

    Attributes:
        epsilon: keeps the root of the variance away from 0.
        relu: the largest value of the ReLU that comes last; infinity where it has
            none, 0 where there is no ReLU.
        fast: see ``cnnjax.ops.norm.maps.moments``.
        adds: whether there is a z.
        dtype: of y.
        moments_dtype: what x is cast to for its moments.
    """

    epsilon: float
    relu: float
    fast: bool
    adds: bool
    dtype: Any
    moments_dtype: Any


def normalize_batch(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    add: jax.Array | None = None,
    *,
    epsilon: float = 1e-5,
    relu: bool | float = False,
    fast: bool = True,
    dtype: Any = None,
    moments_dtype: Any = None,
    backend: Backend | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """``relu(scale (x - m) / sqrt(v + epsilon) + bias + add)``, m and v.

    Args:
        x: ``(..., channels)`` of a floating dtype.
        scale: ``(channels,)``.
        bias: ``(channels,)``.
        add: the shape of ``x``; ``None`` adds nothing.
        epsilon: keeps the root of the variance away from 0.
        relu: whether ReLU comes last; a number is its largest value.
        fast: see ``cnnjax.ops.norm.maps.moments``.
        dtype: of the result; by default that of ``x``.
        moments_dtype: of m and v, but float32 at least; by default that of ``x``.
        backend: as in ``cnnjax.ops.backend``; ``None`` is the current one.

    Returns:
        y of the shape of ``x``; m and v ``(channels,)``.

    Raises:
        ValueError: ``add`` that is not like ``x``; or ``backend`` is ``"native"`` and
            cannot compute it.
    """
    if add is not None and add.shape != x.shape:
        raise ValueError(f"add has shape {add.shape}, expected {x.shape} as x")
    backend = chosen_backend(backend)
    reason = explicit.refusal(x) or norm_native.refusal(x.dtype)
    if backend == "native" and reason:
        refuse(f"batch normalization of {x.dtype} x {x.shape}", reason)
    dtype = jnp.dtype(dtype or x.dtype)
    relu = float(math.inf if relu is True else relu)
    moments_dtype = jnp.promote_types(moments_dtype or x.dtype, jnp.float32)
    options = Options(epsilon, relu, fast, add is not None, dtype, moments_dtype)
    fused_here = backend == "auto" and not reason and norm_native.is_fast(x.shape[-1])
    if x.dtype != dtype or not (fused_here or backend == "native"):
        return separate(x, scale, bias, add, options)
    scale, bias = scale.astype(jnp.float32), bias.astype(jnp.float32)
    if add is None:
        return fused(*vary_alike(x, scale, bias), None, options)
    return fused(*vary_alike(x, scale, bias, add.astype(dtype)), options)


def separate(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    add: jax.Array | None,
    options: Options,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One operation after the other, each with its own gradient."""
    shape = (*[1] * (x.ndim - 1), -1)
    wide = x.astype(options.moments_dtype)
    mean, variance = moments(wide, range(x.ndim - 1), fast=options.fast)
    scale, bias = scale.reshape(shape), bias.reshape(shape)
    y = normalize(
        *(x, mean, variance, scale, bias), epsilon=options.epsilon, dtype=options.dtype
    )
    y = finish(y, add, options.relu)
    return y, mean.reshape(-1), variance.reshape(-1)


def finish(y: jax.Array, add: jax.Array | None, relu: bool | float) -> jax.Array:
    """What comes after a normalization."""
    y = y if add is None else y + add
    if not relu:
        return y
    return relu_op(y) if relu in (True, math.inf) else capped_relu(y, float(relu))


@custom_vjp("options", stock=separate)
def fused(x, scale, bias, add, options) -> tuple[jax.Array, jax.Array, jax.Array]:
    """y of ``x (..., channels)`` and its moments; ``scale, bias (channels,)``."""
    mean, variance = _on_cpu(norm_native.moments, _moments)(x)
    factor = lax.rsqrt(variance + options.epsilon) * scale
    apply = _on_cpu(norm_native.apply, _apply, relu=options.relu)
    y = apply(x, mean, factor, bias, add)
    return y, mean, variance


def _fused_fwd(x, scale, bias, add, options):
    y, mean, variance = fused(x, scale, bias, add, options)
    kept = y if options.relu and options.adds else None
    return (y, mean, variance), (x, scale, bias, kept, mean, variance)


def _fused_bwd(options, residuals, cotangents):
    x, scale, bias, y, mean, variance = residuals
    dy, dmean, dvariance = cotangents
    r = lax.rsqrt(variance + options.epsilon)
    factor = r * scale
    total, product, g = _sums(dy, x, y, mean, factor, bias, options)
    dmean = dmean - r * scale * total
    dvariance = dvariance - 0.5 * r**3 * scale * product
    if options.fast:  # as in the moments: flat where rounding made the variance 0
        dvariance = jnp.where(variance > 0, dvariance, 0)
    count = math.prod(x.shape[:-1])
    lines = 2 * dvariance / count, dmean / count
    if options.adds:  # g is there already
        dy, options = g, options._replace(relu=0.0)
    dx = _gradient(dy, x, mean, factor, bias, *lines, options)
    return dx, r * product, total, g


fused.defvjp(_fused_fwd, _fused_bwd)


@custom_vjp("options")
def _sums(dy, x, y, mean, factor, bias, options):
    """The sums of g and g (x - m), and g where a z wants it for its gradient."""
    run = _on_cpu(
        norm_native.sums, _plain_sums, relu=options.relu, wants_g=options.adds
    )
    return run(dy, x, y, mean, factor, bias)


@custom_vjp("options")
def _gradient(dy, x, mean, factor, bias, by_distance, constant, options):
    run = _on_cpu(norm_native.gradient, _plain_gradient, relu=options.relu)
    return run(dy, x, mean, factor, bias, by_distance, constant)


def _on_cpu(native, plain, **static):
    """The native map on a CPU, the plain one elsewhere."""

    def run(*arrays):
        return lax.platform_dependent(
            *arrays, cpu=partial(native, **static), default=partial(plain, **static)
        )

    return run


def _moments(x):
    mean, variance = moments(x, range(x.ndim - 1))
    return mean.reshape(-1), variance.reshape(-1)


def _apply(x, mean, factor, bias, add, *, relu):
    mean, factor, bias = _all_per_channel(x, mean, factor, bias)
    y = (x - mean) * factor + bias
    y = y if add is None else y + add
    return (jnp.clip(y, 0, relu) if relu else y).astype(x.dtype)


def _passed(dy, x, y, mean, factor, bias, relu):
    """g, in float32."""
    dy = dy.astype(mean.dtype)
    if not relu:
        return dy
    mean, factor, bias = _all_per_channel(x, mean, factor, bias)
    y = (x - mean) * factor + bias if y is None else y
    return jnp.where((y > 0) & (y < relu), dy, 0)


def _plain_sums(dy, x, y, mean, factor, bias, *, relu, wants_g):
    g = _passed(dy, x, y, mean, factor, bias, relu)
    axes = tuple(range(x.ndim - 1))
    kept = g.astype(x.dtype) if wants_g else None
    product = g * (x - per_channel(mean, x.ndim))
    return g.sum(axes), product.sum(axes), kept


def _plain_gradient(dy, x, mean, factor, bias, by_distance, constant, *, relu):
    g = _passed(dy, x, None, mean, factor, bias, relu)
    mean, factor, by_distance, constant = _all_per_channel(
        x, mean, factor, by_distance, constant
    )
    return (g * factor + (x - mean) * by_distance + constant).astype(x.dtype)


def _all_per_channel(x, *arrays):
    return [per_channel(array, x.ndim) for array in arrays]


def _sums_bwd(options, arrays, cotangents):
    """Second derivatives: JAX differentiates the plain formula."""
    formula = partial(_plain_sums, relu=options.relu, wants_g=options.adds)
    return jax.vjp(formula, *arrays)[1](cotangents)


def _gradient_bwd(options, arrays, cotangent):
    formula = partial(_plain_gradient, relu=options.relu)
    return jax.vjp(formula, *arrays)[1](cotangent)


_sums.defvjp(lambda *args: (_sums(*args), args[:-1]), _sums_bwd)
_gradient.defvjp(lambda *args: (_gradient(*args), args[:-1]), _gradient_bwd)
