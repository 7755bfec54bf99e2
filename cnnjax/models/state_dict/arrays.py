"""Arrays of one layer: PyTorch's names and layouts, and ours.

PyTorch puts the channels of a kernel first, ``(out, in / groups, *window)`` and
``(out, in)``; ours come last, ``(*window, in / groups, out)`` and ``(in, out)``.
"""

import ml_dtypes
import numpy as np

TORCHVISION, TIMM, OURS = "torchvision", "timm", "cnnjax"
EFFICIENTNET_PYTORCH = "efficientnet_pytorch"

LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
"""PyTorch's names for the arrays of our layers."""

FLOATS = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)


def from_torch(leaf: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A PyTorch array in our layout.

    Args:
        leaf: our name for it, such as "kernel".
        array: in PyTorch's layout.
        shape: our shape. A dense layer may be a convolution in PyTorch, and vice
            versa; if no layout gives this shape, the result has a different one.
    """
    if leaf == "kernel" and array.ndim > 1:
        if len(shape) == 2:
            return array.reshape(len(array), -1).T
        y = np.moveaxis(array, (0, 1), (-1, -2))
    else:
        y = array
    same = [n for n in y.shape if n > 1] == [n for n in shape if n > 1]
    return y.reshape(shape) if same else y


def to_torch(leaf: str, array: np.ndarray) -> np.ndarray:
    """One of our arrays in PyTorch's layout."""
    if leaf == "layer_scale":
        return array.reshape(-1, 1, 1)
    if leaf != "kernel":
        return array
    return np.ascontiguousarray(np.moveaxis(array, (-1, -2), (0, 1)))


def shape_in_torch(leaf: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """One of our shapes in PyTorch's layout, for messages."""
    return (shape[-1], shape[-2], *shape[:-2]) if leaf == "kernel" else shape


def sum_over_inputs(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A kernel for one input channel, from a kernel for several equal channels.

    Args:
        array: ``(*window, in, out)``.
        shape: the wanted shape; unless it is ``(*window, 1, out)``, the array is
            returned unchanged.
    """
    if array.ndim < 3 or shape != (*array.shape[:-2], 1, array.shape[-1]):
        return array
    return array.astype(np.float32).sum(-2, keepdims=True)
