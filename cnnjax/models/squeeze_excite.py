"""Squeeze and excitation (Hu, Shen, Albanie, Sun and Wu 2017, arXiv:1709.01507)."""

import jax
from jax.typing import DTypeLike

from cnnjax import layers as nn
from cnnjax import ops
from cnnjax.models.conv_norm import Activation


class SqueezeExcite(nn.Module):
    """A gate for each channel, computed from the means of all channels.

    Attributes:
        width: channels between the two 1x1 convolutions.
        kernel_init: initializer of the convolutions.
        dtype: dtype of the result.
        activation: applied between the convolutions.
        gate: applied after them; its values are from 0 to 1.
    """

    width: int
    kernel_init: nn.initializers.Initializer
    dtype: DTypeLike | None = None
    activation: Activation = nn.relu
    gate: Activation = nn.sigmoid

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Multiplies ``x (batch, *spatial, channels)`` by the gates."""
        ones = (1,) * (x.ndim - 2)
        means = ops.global_avg_pool(x).reshape(x.shape[0], *ones, x.shape[-1])
        y = self.activation(self._conv(self.width, ones)(means))
        return ops.scale(x, self.gate(self._conv(x.shape[-1], ones)(y)))

    def _conv(self, width, size):
        return nn.Conv(width, size, dtype=self.dtype, kernel_init=self.kernel_init)
