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
    """Normalizes each channel by the batch's own moments: the training mode.

    Args:
        x: ``(..., channels)``.
        scale: ``(channels,)``.
        bias: ``(channels,)``.
        epsilon: keeps the root of the variance away from 0.
        mask: broadcastable to ``x``; where it is false, a value does not count.
        use_fast_variance: see ``moments``.
        axis_name: of the devices whose batches are taken together.
        add: the shape of ``x``, added to the result; ``None`` adds nothing.
        relu: whether ReLU comes last; a number is its largest value.
        backend: as in ``cnnjax.ops.backend``, ``None`` being the current one; what has
            a mask or an axis name is XLA's.

    Returns:
        y of the shape and dtype of ``x``; mean and variance ``(channels,)``.

    Raises:
        ValueError: shapes that do not go together; or ``backend`` is ``"native"`` and
            cannot compute it.
    """
    wide_scale, wide_bias = per_last_axis(scale, x), per_last_axis(bias, x)
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
    """Normalizes each channel of ``x (..., channels)`` by given moments."""
    arrays = (per_last_axis(array, x) for array in (mean, variance, scale, bias))
    return normalize(x, *arrays, epsilon=epsilon)


def per_last_axis(array, x):
    """``(channels,)`` with an axis of size 1 for each other axis of ``x``."""
    if array.shape != x.shape[-1:]:
        raise ValueError(
            f"an array of shape {array.shape} was given where x {x.shape} expects"
            f" {x.shape[-1:]}"
        )
    return array.reshape(*[1] * (x.ndim - 1), -1)
