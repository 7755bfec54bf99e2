"""The product of an array with a smaller one: ``y = x s``, a gate or a learned scale.

``dL/dx = dL/dy s``; each s is a factor of several y, so ``dL/ds`` is the sum over them
of ``dL/dy x``. With x and s exchanged, the map is linear in each.
"""

import jax
import jax.numpy as jnp

from cnnjax.ops.gradient import custom_vjp, vary_alike


def scale(x: jax.Array, factor: jax.Array) -> jax.Array:
    """``x * factor``, with the shape of ``x``.

    Args:
        x: any shape.
        factor: broadcastable to ``x``: on each axis it has the size of ``x`` or 1, and
            it may lack the first axes.

    Raises:
        ValueError: shapes that do not go together.

    Example:
        >>> import jax.numpy as jnp
        >>> from cnnjax import ops
        >>> ops.scale(jnp.ones((2, 2)), jnp.array([3.0, 4.0]))
        Array([[3., 4.],
               [3., 4.]], dtype=float32)
    """
    missing = x.ndim - factor.ndim
    shape = (1,) * missing + factor.shape
    if missing < 0 or any(n not in (1, m) for n, m in zip(shape, x.shape, strict=True)):
        raise ValueError(
            f"factor has shape {factor.shape}, expected one that broadcasts to the"
            f" shape of x, {x.shape}"
        )
    return _scale(*vary_alike(x, factor.reshape(shape)))


@custom_vjp(linear=("x", "factor"))
def _scale(x, factor):
    return x * factor


def _fwd(x, factor):
    return _scale(x, factor), (x, factor)


def _bwd(residuals, dy):
    x, factor = residuals
    axes = tuple(axis for axis, n in enumerate(factor.shape) if n == 1)
    dfactor = jnp.sum(dy * x, axes, keepdims=True)
    return (dy * factor).astype(x.dtype), dfactor.astype(factor.dtype)


_scale.defvjp(_fwd, _bwd)
