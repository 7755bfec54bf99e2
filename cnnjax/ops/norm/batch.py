"""Batch normalization: each channel by the moments of the batch, or by given ones."""

import jax

from cnnjax.ops.backend import Backend
from cnnjax.ops.norm.fused import add_relu, batch_norm_add_relu
from cnnjax.ops.norm.maps import Devices, moments, normalize
from cnnjax.typing import Array


def batch_norm(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    *,
    epsilon: float = 1e-5,
    mask: Array | None = None,
    use_fast_variance: bool = True,
    axis_name: str | None = None,
    add: jax.Array | None = None,
    relu: bool | float = False,
    backend: Backend | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalizes each channel by the moments of the batch, as in training.

    Args:
        x: ``(..., channels)``.
        scale: ``(channels,)``.
        bias: ``(channels,)``.
        epsilon: added to the variance before the root is taken.
        mask: broadcastable to ``x``; where it is false, a value does not count.
        use_fast_variance: ``fast`` in ``cnnjax.ops.norm.maps.moments``.
        axis_name: the mapped axis over whose devices the moments are taken.
        add: the shape of ``x``, added to the result; ``None`` adds nothing.
        relu: whether ReLU comes last; a number is its largest value.
        backend: as in ``cnnjax.ops.backend``; ``None`` is the current one. With a mask
            or an axis name, XLA computes the operation whatever the backend.

    Returns:
        y of the shape and dtype of ``x``; mean and variance ``(channels,)``.

    Raises:
        ValueError: shapes that do not fit together; or ``backend`` is ``"native"`` and
            cannot compute this.
    """
    wide_scale, wide_bias = as_last_axis(x, scale=scale, bias=bias)
    if mask is None and axis_name is None:
        options = {"epsilon": epsilon, "fast": use_fast_variance, "relu": relu}
        return batch_norm_add_relu(x, scale, bias, add, backend=backend, **options)
    axes = range(x.ndim - 1)
    devices = Devices(axis_name)
    mean, variance = moments(
        x, axes, mask=mask, fast=use_fast_variance, devices=devices
    )
    y = normalize(x, mean, variance, wide_scale, wide_bias, epsilon=epsilon)
    return add_relu(y, add, relu), mean.reshape(-1), variance.reshape(-1)


def batch_norm_inference(
    x: jax.Array,
    mean: jax.Array,
    variance: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    *,
    epsilon: float = 1e-5,
) -> jax.Array:
    """Normalizes each channel of ``x (..., channels)`` by given moments.

    Args:
        x: ``(..., channels)``.
        mean: ``(channels,)``.
        variance: ``(channels,)``.
        scale: ``(channels,)``.
        bias: ``(channels,)``.
        epsilon: added to the variance before the root is taken.

    Raises:
        ValueError: an array that does not have one value per channel.
    """
    arrays = as_last_axis(x, mean=mean, variance=variance, scale=scale, bias=bias)
    return normalize(x, *arrays, epsilon=epsilon)


def as_last_axis(x: jax.Array, **arrays: jax.Array) -> list[jax.Array]:
    """Arrays ``(channels,)``, with an axis of size 1 for every other axis of ``x``.

    Raises:
        ValueError: an array of another shape; the message has its name.
    """
    for name, array in arrays.items():
        if array.shape != x.shape[-1:]:
            raise ValueError(
                f"{name} has shape {array.shape}, expected {x.shape[-1:]}, one value"
                f" for each channel of x {x.shape}"
            )
    return [array.reshape(*[1] * (x.ndim - 1), -1) for array in arrays.values()]
