"""Normalization layers: flax.linen's variables around ``cnnjax.ops.norm``.

With ``force_float32_reductions=False`` (sums in half precision), and for complex
inputs, Flax's own code runs.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import canonicalize_dtype
from numpy.lib.array_utils import normalize_axis_tuple

from cnnjax.layers.frozen import is_frozen
from cnnjax.layers.parameters import call_of_flax
from cnnjax.ops.norm.fused import add_relu, batch_norm_add_relu
from cnnjax.ops.norm.maps import Devices, moments, normalize


class BatchNorm(nn.BatchNorm):
    """Batch normalization with Flax's constructor and variables.

    ``BatchNorm(...).and_relu(x)`` and ``.and_relu(x, add=shortcut)`` are the same layer
    fused with the sum and the ReLU that often follow it.
    """

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        use_running_average: bool | None = None,
        *,
        mask: jax.Array | None = None,
    ) -> jax.Array:
        """Normalizes ``x`` and, in training, updates the running moments.

        Args:
            x: any shape with the feature axis ``axis``.
            use_running_average: ``True`` uses the running moments (evaluation),
                ``False`` those of ``x``. Set it here or in the constructor.
            mask: broadcastable to ``x``; values where it is false are ignored.
        """
        return _batch_norm(self, x, use_running_average, mask, None, False)

    @nn.compact
    def and_relu(
        self,
        x: jax.Array,
        use_running_average: bool | None = None,
        *,
        add: jax.Array | None = None,
        largest: float | None = None,
        mask: jax.Array | None = None,
    ) -> jax.Array:
        """``relu(self(x) + add)``.

        Args:
            x: as for the layer itself.
            use_running_average: as for the layer itself.
            add: an array like the result, such as a shortcut around the layer.
            largest: upper limit of the ReLU, such as 6 for ReLU6.
            mask: as for the layer itself.
        """
        relu = True if largest is None else largest
        return _batch_norm(self, x, use_running_average, mask, add, relu)


def _batch_norm(layer: Any, x, use_running_average, mask, add, relu):
    if _is_left_to_flax(layer, x):
        y = call_of_flax(nn.BatchNorm)(layer, x, use_running_average, mask=mask)
        return add_relu(y, add, relu)
    use_running_average = is_frozen(layer) or nn.merge_param(
        "use_running_average", layer.use_running_average, use_running_average
    )
    features = _axes(x, layer.axis)
    axes = tuple(i for i in range(x.ndim) if i not in features)
    shape = [x.shape[axis] for axis in features]
    running = [
        layer.variable("batch_stats", name, make, shape, jnp.float32)
        for name, make in (("mean", jnp.zeros), ("var", jnp.ones))
    ]
    if use_running_average:
        mean, variance = (jnp.expand_dims(v.value, axes) for v in running)
    elif mask is None and features == (x.ndim - 1,) and not _is_shared(layer):
        return _on_one_device(layer, x, running, add, relu)
    else:
        mean, variance = _moments(layer, x, axes, mask)
        _average(layer, running, [v.reshape(shape) for v in (mean, variance)])
    return add_relu(_apply(layer, x, mean, variance, features), add, relu)


def _is_shared(layer):
    """Whether the moments are computed over several devices."""
    return layer.axis_name is not None and not layer.is_initializing()


def _on_one_device(layer, x, running, add, relu):
    """Training on one device with channels last: one fused operation."""
    scale, bias = _scale_and_bias(layer, x.shape[-1:])
    dtype = canonicalize_dtype(x, scale, bias, dtype=layer.dtype)
    ones, zeros = jnp.ones(x.shape[-1], dtype), jnp.zeros(x.shape[-1], dtype)
    y, *moments = batch_norm_add_relu(
        x,
        ones if scale is None else scale,
        zeros if bias is None else bias,
        add,
        epsilon=layer.epsilon,
        relu=relu,
        fast=layer.use_fast_variance,
        dtype=dtype,
        moments_dtype=layer.dtype,
    )
    _average(layer, running, moments)
    return y


def _average(layer, running, batch):
    if layer.is_initializing():
        return
    for variable, value in zip(running, batch, strict=True):
        old = variable.value
        variable.value = layer.momentum * old + (1 - layer.momentum) * value


class LayerNorm(nn.LayerNorm):
    """Layer normalization with Flax's constructor and variables."""

    @nn.compact
    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """Normalizes ``x`` over ``reduction_axes``.

        Args:
            x: any shape.
            mask: broadcastable to ``x``; values where it is false are ignored.
        """
        if _is_left_to_flax(self, x):
            return call_of_flax(nn.LayerNorm)(self, x, mask=mask)
        stats = _moments(self, x, _axes(x, self.reduction_axes), mask)
        return _apply(self, x, *stats, _axes(x, self.feature_axes))


class GroupNorm(nn.GroupNorm):
    """Group normalization with Flax's constructor and variables."""

    @nn.compact
    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """Normalizes ``x (batch, ..., channels)`` over each group of channels.

        Args:
            x: the channels are the last axis.
            mask: same rank as ``x`` and broadcastable to it, except that the last axis
                must have all channels; values where it is false are ignored.

        Raises:
            ValueError: groups that do not divide the channels, or ``reduction_axes``
                without the last axis.
        """
        if _is_left_to_flax(self, x):
            return call_of_flax(nn.GroupNorm)(self, x, mask=mask)
        channels, groups = x.shape[-1], _groups(self, x.shape[-1])
        parts = (groups, channels // groups)
        given = self.reduction_axes
        axes = _axes(x, (*range(1, x.ndim - 1), -1) if given is None else given)
        if axes[-1] != x.ndim - 1:
            raise ValueError(
                f"reduction_axes is {given}, expected the last axis among them"
            )
        if mask is not None:
            mask = mask.reshape(*mask.shape[:-1], *parts)
        grouped = x.reshape(*x.shape[:-1], *parts)
        stats = _moments(self, grouped, (*axes[:-1], -1), mask)
        y = _apply(self, grouped, *stats, (x.ndim - 1, x.ndim), (channels,))
        return y.reshape(x.shape)


def _groups(layer, channels):
    if (layer.num_groups is None) == (layer.group_size is None):
        raise ValueError(
            f"num_groups is {layer.num_groups} and group_size is {layer.group_size},"
            " expected one of them and None for the other"
        )
    size = layer.group_size
    if size is not None and (size < 1 or channels % size):
        raise ValueError(f"group_size is {size}, expected a divisor of {channels}")
    groups = channels // size if size is not None else layer.num_groups
    if groups is None or groups < 1 or channels % groups:
        raise ValueError(f"num_groups is {groups}, expected a divisor of {channels}")
    return groups


def _axes(x, axes) -> tuple[int, ...]:
    """Axes of ``x`` as sorted non-negative numbers."""
    return tuple(sorted(set(normalize_axis_tuple(axes, x.ndim, None, True))))


def _is_left_to_flax(layer: Any, x):
    return not layer.force_float32_reductions or jnp.iscomplexobj(x)


def _moments(layer: Any, x, axes, mask):
    initializing = isinstance(layer, nn.BatchNorm) and layer.is_initializing()
    groups = layer.axis_index_groups
    devices = Devices(
        None if initializing else layer.axis_name,
        groups if groups is None else tuple(map(tuple, groups)),
    )
    x = x.astype(jnp.promote_types(layer.dtype or x.dtype, jnp.float32))
    fast = layer.use_fast_variance
    return moments(x, axes, mask=mask, fast=fast, devices=devices)


def _apply(layer: Any, x, mean, variance, features, stored=None):
    """Normalizes ``x`` with the layer's scale and bias on the axes ``features``.

    ``stored`` is the shape of scale and bias in the parameter tree.
    """
    shape = tuple(n if axis in features else 1 for axis, n in enumerate(x.shape))
    stored = stored or tuple(x.shape[axis] for axis in features)
    scale, bias = (
        None if array is None else array.reshape(shape)
        for array in _scale_and_bias(layer, stored)
    )
    dtype = canonicalize_dtype(x, scale, bias, dtype=layer.dtype)
    return normalize(x, mean, variance, scale, bias, epsilon=layer.epsilon, dtype=dtype)


def _scale_and_bias(layer: Any, shape):
    """The layer's scale and bias; ``None`` for one that it does not use."""
    scale = bias = None
    if layer.use_scale:
        scale = layer.param("scale", layer.scale_init, shape, layer.param_dtype)
    if layer.use_bias:
        bias = layer.param("bias", layer.bias_init, shape, layer.param_dtype)
    return scale, bias
