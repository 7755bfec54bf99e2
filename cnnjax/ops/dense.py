"""Dense layer: a matrix product and its two gradients, which are matrix products too.

With one example per row of x::

    y = x w + b      dL/dx = dL/dy w^T      dL/dw = x^T dL/dy      dL/db = sum dL/dy
"""

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.bias import add_bias
from cnnjax.ops.dtype import check_one_floating
from cnnjax.ops.explicit import sharding_of_product
from cnnjax.ops.gradient import custom_vjp, vary_alike


def dense(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None = None,
    *,
    precision: lax.PrecisionLike = None,
) -> jax.Array:
    """Multiplies the last axis of ``x`` by ``kernel`` and adds ``bias``.

    Args:
        x: ``(..., in)``.
        kernel: ``(in, out)`` of the same dtype.
        bias: ``(out,)``.
        precision: as in ``jax.lax.Precision``.

    Returns:
        ``(..., out)``.

    Raises:
        ValueError: incompatible shapes or dtypes.
    """
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    bias = None if bias is None else jnp.asarray(bias)
    _check(x, kernel, bias)
    rows = x.reshape(-1, x.shape[-1]) if x.ndim != 2 else x
    rows, kernel = vary_alike(rows, kernel)
    y = matmul(rows, kernel, precision).reshape(*x.shape[:-1], kernel.shape[1])
    return y if bias is None else add_bias(*vary_alike(y, bias))


@custom_vjp("precision", linear=("a", "b"))
def matmul(a: jax.Array, b: jax.Array, precision=None) -> jax.Array:
    """The product of two matrices; its gradients are products of the same kind."""
    sharding = sharding_of_product(2, (a, 0), (b, 1))
    return jnp.matmul(a, b, precision=precision, out_sharding=sharding)


def _fwd(a, b, precision):
    return matmul(a, b, precision), (a, b)


def _bwd(precision, residuals, dy):
    a, b = residuals
    return matmul(dy, b.T, precision), matmul(a.T, dy, precision)


matmul.defvjp(_fwd, _bwd)


def _check(x, kernel, bias):
    if x.ndim < 1 or kernel.ndim != 2 or x.shape[-1] != kernel.shape[0]:
        raise ValueError(
            f"x has shape {x.shape} and kernel has shape {kernel.shape},"
            " expected (..., in) and (in, out)"
        )
    check_one_floating(x, kernel)
    if bias is not None and bias.shape != kernel.shape[1:]:
        raise ValueError(f"bias has shape {bias.shape}, expected {kernel.shape[1:]}")
