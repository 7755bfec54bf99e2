"""Parameters of the layers, and when and how Flax's own code runs instead."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn


def kernel_and_bias(
    layer: Any, shape: tuple[int, ...]
) -> tuple[jax.Array, jax.Array | None]:
    """The layer's kernel of ``shape``, masked, and its bias if it has one.

    Raises:
        ValueError: a mask whose shape differs from the kernel's.
    """
    kernel = layer.param("kernel", layer.kernel_init, shape, layer.param_dtype)
    mask = getattr(layer, "mask", None)
    if mask is not None:
        if mask.shape != shape:
            raise ValueError(
                f"mask has shape {mask.shape}, expected the kernel's, {shape}"
            )
        kernel = kernel * mask
    if not layer.use_bias:
        return kernel, None
    bias = layer.param("bias", layer.bias_init, (layer.features,), layer.param_dtype)
    return kernel, bias


def is_complex(layer: Any, inputs: jax.Array) -> bool:
    """Whether the layer computes with complex numbers."""
    stored = nn.meta.unbox(dict(layer.variables.get("params", {})))
    dtypes = [a.dtype for a in (inputs, *jax.tree.leaves(stored))]
    return any(
        jnp.issubdtype(dtype, jnp.complexfloating)
        for dtype in (*dtypes, layer.param_dtype, layer.dtype or jnp.float32)
    )


def call_of_flax(layer: type[nn.Module]) -> Callable[..., Any]:
    """The unwrapped ``__call__`` of a Flax layer, for use in a method of a subclass.

    Flax wraps each method, so ``super().__call__`` would count as another call of the
    layer wherever calls are listed, captured or intercepted.
    """
    return inspect.unwrap(layer.__call__)
