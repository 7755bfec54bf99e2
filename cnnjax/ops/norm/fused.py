"""Batch normalization in training, fused with the sum and the ReLU that often follow.

For each channel, over the N positions of a batch::

    m = mean(x)      v = mean((x - m)^2)      r = (v + epsilon)^(-1/2)
    y = relu(s r (x - m) + b + z)

With g = dL/dy where y > 0 (and below ReLU's largest value), else 0, the closed form of
Ioffe and Szegedy 2015 is::

    dL/dz = g        dL/db = sum g       dL/ds = r sum g (x - m)
    dL/dx = s r g + (x - m) 2 V / N + M / N
    M = dL/dm - r s sum g                V = dL/dv - 1/2 r^3 s sum g (x - m)

So training reads x twice and, for the gradient, x and dL/dy twice. g needs no memory of
its own and, without z, y need not be kept.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.native import norm as native
from cnnjax.ops import choice, explicit
from cnnjax.ops.activation import capped_relu
from cnnjax.ops.activation import relu as relu_op
from cnnjax.ops.backend import Backend
from cnnjax.ops.gradient import custom_vjp, vary_alike
from cnnjax.ops.norm import xla
from cnnjax.ops.norm.choose import choose
from cnnjax.ops.norm.maps import moments, normalize
from cnnjax.ops.norm.problem import BatchNormProblem, make_problem


def batch_norm_add_relu(
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
        epsilon: added to the variance before the root is taken.
        relu: whether ReLU comes last; a number is its largest value.
        fast: see ``cnnjax.ops.norm.maps.moments``.
        dtype: of the result; by default that of ``x``.
        moments_dtype: of m and v, but float32 at least; by default that of ``x``.
        backend: as in ``cnnjax.ops.backend``; ``None`` is the current one.

    Returns:
        y of the shape of ``x``; m and v ``(channels,)``.

    Raises:
        ValueError: ``add`` is not like ``x``; or ``backend`` is ``"native"`` and cannot
            compute this.
    """
    problem = make_problem(
        *(x, add),
        epsilon=epsilon,
        relu=relu,
        fast=fast,
        dtype=dtype,
        moments_dtype=moments_dtype,
        backend=backend,
    )
    if choose(problem, "cpu", explicit.refusal(x)).implementation == "xla":
        return one_by_one(x, scale, bias, add, problem)
    scale, bias = scale.astype(jnp.float32), bias.astype(jnp.float32)
    if add is None:
        return fused(*vary_alike(x, scale, bias), None, problem)
    add = add.astype(problem.result_dtype)
    return fused(*vary_alike(x, scale, bias, add), problem)


def one_by_one(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    add: jax.Array | None,
    problem: BatchNormProblem,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One operation after the other, each with its own gradient."""
    shape = (*[1] * (x.ndim - 1), -1)
    wide = x.astype(problem.moments_dtype)
    mean, variance = moments(wide, range(x.ndim - 1), fast=problem.fast)
    scale, bias = scale.reshape(shape), bias.reshape(shape)
    options = {"epsilon": problem.epsilon, "dtype": problem.result_dtype}
    y = normalize(x, mean, variance, scale, bias, **options)
    return add_relu(y, add, problem.relu), mean.reshape(-1), variance.reshape(-1)


def add_relu(y: jax.Array, add: jax.Array | None, relu: bool | float) -> jax.Array:
    """What comes after a normalization: ``relu(y + add)``.

    Args:
        y: any shape.
        add: the shape of ``y``; ``None`` adds nothing.
        relu: whether ReLU comes last; a number is its largest value.
    """
    y = y if add is None else y + add
    if not relu:
        return y
    return relu_op(y) if relu in (True, math.inf) else capped_relu(y, float(relu))


@custom_vjp("problem", stock=one_by_one)
def fused(x, scale, bias, add, problem) -> tuple[jax.Array, jax.Array, jax.Array]:
    """y of ``x (..., channels)`` and its moments; ``scale, bias (channels,)``."""
    maps = {"native": native.moments, "xla_fused": xla.moments}
    mean, variance = _run(maps, problem, x)
    factor = lax.rsqrt(variance + problem.epsilon) * scale
    maps = {
        "native": native.apply,
        "xla_fused": xla.apply,
        "xla_fused_by_g": xla.apply_to_stored,
    }
    y = _run(maps, problem, x, mean, factor, bias, add, relu=problem.relu)
    return y, mean, variance


def _fused_fwd(x, scale, bias, add, problem):
    y, mean, variance = fused(x, scale, bias, add, problem)
    kept = y if problem.relu and problem.adds else None
    return (y, mean, variance), (x, scale, bias, kept, mean, variance)


def _fused_bwd(problem, residuals, cotangents):
    x, scale, bias, y, mean, variance = residuals
    dy, dmean, dvariance = cotangents
    r = lax.rsqrt(variance + problem.epsilon)
    factor = r * scale
    total, product, g = _sums(dy, x, y, mean, factor, bias, problem)
    dmean = dmean - r * scale * total
    dvariance = dvariance - 0.5 * r**3 * scale * product
    if problem.fast:  # no gradient where rounding made the variance 0
        dvariance = jnp.where(variance > 0, dvariance, 0)
    count = math.prod(x.shape[:-1])
    by_distance, constant = 2 * dvariance / count, dmean / count
    if problem.adds:  # g has been computed already
        dy, problem = g, problem._replace(relu=0.0)
    dx = _gradient(dy, x, mean, factor, bias, by_distance, constant, problem)
    return dx, r * product, total, g


fused.defvjp(_fused_fwd, _fused_bwd)


@custom_vjp("problem")
def _sums(dy, x, y, mean, factor, bias, problem):
    """The sums of g and g (x - m), and g where it is the gradient of a z.

    With a z, y says where ReLU passed it on. Without, that is computed again from x.
    """
    maps = {
        "native": native.sums,
        "xla_fused": xla.sums,
        "xla_fused_by_g": xla.sums_by_g,
    }
    static = {"relu": problem.relu, "wants_g": problem.adds}
    return _run(maps, problem, dy, x, y, mean, factor, bias, **static)


@custom_vjp("problem")
def _gradient(dy, x, mean, factor, bias, by_distance, constant, problem):
    maps = {"native": native.gradient, "xla_fused": xla.gradient_apart}
    arrays = dy, x, mean, factor, bias, by_distance, constant
    return _run(maps, problem, *arrays, relu=problem.relu)


def _run(implementations, problem, *arrays, **static):
    """A map by the implementation chosen for each platform."""
    maps = {"xla_fused_by_g": implementations["xla_fused"], **implementations}
    return choice.run(
        {key: choose(problem, key).implementation for key in choice.PLATFORMS},
        {name: partial(f, **static) for name, f in maps.items()},
        *arrays,
    )


def _sums_bwd(problem, arrays, cotangents):
    """Second derivatives: JAX differentiates XLA's formula."""
    formula = partial(xla.sums, relu=problem.relu, wants_g=problem.adds)
    return jax.vjp(formula, *arrays)[1](cotangents)


def _gradient_bwd(problem, arrays, cotangent):
    formula = partial(xla.gradient, relu=problem.relu)
    return jax.vjp(formula, *arrays)[1](cotangent)


_sums.defvjp(lambda *args: (_sums(*args), args[:-1]), _sums_bwd)
_gradient.defvjp(lambda *args: (_gradient(*args), args[:-1]), _gradient_bwd)
