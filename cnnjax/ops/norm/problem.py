"""One hashable description of batch normalization in training."""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp

from cnnjax.ops.backend import Backend, chosen_backend
from cnnjax.typing import Array


class BatchNormProblem(NamedTuple):
    """All that ``relu(s r (x - m) + b + z)`` depends on but the values of its arrays.

    Attributes:
        shape: of x, ``(..., channels)``.
        dtype: of x.
        result_dtype: of y.
        moments_dtype: what x is cast to for its moments.
        epsilon: added to the variance before the root is taken.
        relu: the largest value of the ReLU that comes last; infinity where it has
            none, 0 where there is no ReLU.
        fast: see ``cnnjax.ops.norm.maps.moments``.
        adds: whether there is a z.
        backend: as in ``cnnjax.ops.backend``.
    """

    shape: tuple[int, ...]
    dtype: Any
    result_dtype: Any
    moments_dtype: Any
    epsilon: float
    relu: float
    fast: bool
    adds: bool
    backend: Backend = "auto"


def make_problem(
    x: Array,
    add: Array | None = None,
    *,
    epsilon: float = 1e-5,
    relu: bool | float = False,
    fast: bool = True,
    dtype: Any = None,
    moments_dtype: Any = None,
    backend: Backend | None = None,
) -> BatchNormProblem:
    """The description for ``x``, an array or a ``jax.ShapeDtypeStruct``.

    The arguments are those of ``cnnjax.ops.norm.fused.batch_norm_add_relu``.

    Raises:
        ValueError: ``add`` is not like ``x``.
    """
    if add is not None and add.shape != x.shape:
        raise ValueError(
            f"add has shape {add.shape}, expected {x.shape}, the shape of x"
        )
    return BatchNormProblem(
        shape=x.shape,
        dtype=jnp.dtype(x.dtype),
        result_dtype=jnp.dtype(dtype or x.dtype),
        moments_dtype=jnp.promote_types(moments_dtype or x.dtype, jnp.float32),
        epsilon=epsilon,
        relu=float(math.inf if relu is True else relu),
        fast=fast,
        adds=add is not None,
        backend=chosen_backend(backend),
    )
