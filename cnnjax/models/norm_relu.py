"""Batch normalization and what follows it, in one place for all networks.

The layers become submodules of the calling network, with Flax's automatic names.
"""

from typing import NamedTuple

import jax
from jax.typing import DTypeLike

from cnnjax import layers as nn

MOMENTUM = 0.9


class Norm(NamedTuple):
    """Settings of batch normalization in a network.

    Attributes:
        train: whether to use the moments of the batch instead of the running ones.
        axis_name: axis of the devices over which moments are computed.
        dtype: dtype of the result.
    """

    train: bool
    axis_name: str | None = None
    dtype: DTypeLike | None = None


def norm(x: jax.Array, how: Norm, name: str | None = None) -> jax.Array:
    """``x (batch, *spatial, channels)`` normalized, with scale and bias.

    Args:
        x: the output of a convolution.
        how: settings of the network.
        name: name of the layer; automatic by default.
    """
    return _layer(how, name)(x)


def norm_relu(x: jax.Array, how: Norm, largest: float | None = None) -> jax.Array:
    """``relu(norm(x))``, optionally capped at ``largest``."""
    return _layer(how).and_relu(x, largest=largest)


def norm_add_relu(x: jax.Array, shortcut: jax.Array, how: Norm) -> jax.Array:
    """``relu(norm(x) + shortcut)``, the end of a residual block."""
    return _layer(how).and_relu(x, add=shortcut)


def _layer(how, name=None):
    return nn.BatchNorm(
        not how.train,
        momentum=MOMENTUM,
        epsilon=1e-5,
        dtype=how.dtype,
        axis_name=how.axis_name,
        name=name,
    )
