"""The end of a network: what all architectures do after their last block."""

import jax

from cnnjax import layers as nn


def logits(
    x: jax.Array, num_classes: int, kernel_init: nn.initializers.Initializer
) -> jax.Array:
    """The last layer, or with 0 classes its input: the features of an image.

    Args:
        x: ``(batch, features)``.
        num_classes: number of outputs; 0 returns ``x``.
        kernel_init: initializer of the layer.
    """
    return nn.Dense(num_classes, kernel_init=kernel_init)(x) if num_classes else x


def rates(last: float, blocks: int) -> list[float]:
    """The rates of stochastic depth: they rise linearly from 0 to ``last``."""
    return [last * number / max(blocks - 1, 1) for number in range(blocks)]
