"""The parameters that the two convolution layers have in common."""

from typing import Any

import jax


def kernel_and_bias(
    layer: Any, shape: tuple[int, ...]
) -> tuple[jax.Array, jax.Array | None]:
    """The layer's kernel of ``shape``, masked, and its bias if it uses one.

    Raises:
        ValueError: a mask that has not the kernel's shape.
    """
    kernel = layer.param("kernel", layer.kernel_init, shape, layer.param_dtype)
    if layer.mask is not None:
        if layer.mask.shape != shape:
            raise ValueError(
                f"mask has shape {layer.mask.shape}, expected the kernel's, {shape}"
            )
        kernel = kernel * layer.mask
    if not layer.use_bias:
        return kernel, None
    bias = layer.param("bias", layer.bias_init, (layer.features,), layer.param_dtype)
    return kernel, bias
