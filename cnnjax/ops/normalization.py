"""Batch, layer and group normalization, as choices of axes of ``cnnjax.ops.norm``."""

from collections.abc import Sequence

import jax

from cnnjax.ops.backend import Backend
from cnnjax.ops.norm import Devices, moments, normalize
from cnnjax.ops.norm_fused import finish, normalize_batch
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
    wide_scale, wide_bias = _last(scale, x), _last(bias, x)
    if mask is None and axis_name is None:
        options = {"epsilon": epsilon, "fast": use_fast_variance, "relu": relu}
        return normalize_batch(x, scale, bias, add, backend=backend, **options)
    axes = range(x.ndim - 1)
    devices = Devices(axis_name)
    mean, variance = moments(
        x, axes, mask=mask, fast=use_fast_variance, devices=devices
    )
    y = normalize(x, mean, variance, wide_scale, wide_bias, epsilon=epsilon)
    return finish(y, add, relu), mean.reshape(-1), variance.reshape(-1)


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
    arrays = (_last(array, x) for array in (mean, variance, scale, bias))
    return normalize(x, *arrays, epsilon=epsilon)


def layer_norm(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    *,
    axes: Sequence[int] = (-1,),
    epsilon: float = 1e-6,
    use_fast_variance: bool = True,
) -> jax.Array:
    """Normalizes ``x (..., channels)`` over ``axes``, for each example by itself.

    Args:
        x: any shape.
        scale: ``(channels,)``.
        bias: ``(channels,)``.
        axes: what to take the moments over.
        epsilon: keeps the root of the variance away from 0.
        use_fast_variance: see ``moments``.
    """
    mean, variance = moments(x, axes, fast=use_fast_variance)
    return normalize(
        x, mean, variance, _last(scale, x), _last(bias, x), epsilon=epsilon
    )


def group_norm(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    *,
    groups: int,
    epsilon: float = 1e-6,
    use_fast_variance: bool = True,
) -> jax.Array:
    """Normalizes each example over all positions and the channels of each group.

    Args:
        x: ``(batch, *spatial, channels)``.
        scale: ``(channels,)``.
        bias: ``(channels,)``.
        groups: equal parts of the channels.
        epsilon: keeps the root of the variance away from 0.
        use_fast_variance: see ``moments``.

    Raises:
        ValueError: channels that cannot be split into ``groups``.
    """
    channels = x.shape[-1]
    if groups < 1 or channels % groups:
        raise ValueError(f"groups is {groups}, expected a divisor of {channels}")
    parts = (groups, channels // groups)
    grouped = x.reshape(*x.shape[:-1], *parts)
    axes = (*range(1, x.ndim - 1), -1)
    mean, variance = moments(grouped, axes, fast=use_fast_variance)
    shape = (*[1] * (x.ndim - 1), *parts)
    scale, bias = _last(scale, x).reshape(shape), _last(bias, x).reshape(shape)
    y = normalize(grouped, mean, variance, scale, bias, epsilon=epsilon)
    return y.reshape(x.shape)


def _last(array, x):
    """``(channels,)`` with an axis of size 1 for each other axis of ``x``."""
    if array.shape != x.shape[-1:]:
        raise ValueError(
            f"an array of shape {array.shape} was given where x {x.shape} expects"
            f" {x.shape[-1:]}"
        )
    return array.reshape(*[1] * (x.ndim - 1), -1)
