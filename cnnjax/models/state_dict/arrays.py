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
    """An array of PyTorch's in our layout.

    Args:
        leaf: our name for it, such as "kernel".
        array: in PyTorch's layout.
        shape: ours. A dense layer may be a convolution there, and the other way round;
            if no layout gives this shape, the result has another.
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
    """An array of ours in the layout of PyTorch."""
    if leaf == "layer_scale":
        return array.reshape(-1, 1, 1)
    if leaf != "kernel":
        return array
    return np.ascontiguousarray(np.moveaxis(array, (-1, -2), (0, 1)))


def shape_in_torch(leaf: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """What PyTorch calls one of our shapes, for messages."""
    return (shape[-1], shape[-2], *shape[:-2]) if leaf == "kernel" else shape


def sum_over_inputs(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A kernel for images with one channel, from one for several equal channels.

    Args:
        array: ``(*window, in, out)``.
        shape: what is wanted; any but ``(*window, 1, out)`` returns the array.
    """
    if array.ndim < 3 or shape != (*array.shape[:-2], 1, array.shape[-1]):
        return array
    return array.astype(np.float32).sum(-2, keepdims=True)
