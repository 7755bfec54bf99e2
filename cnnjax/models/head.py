"""The end of a network, which all architectures share: the head."""

import jax

from cnnjax import layers as nn


def logits(
    x: jax.Array, num_classes: int, kernel_init: nn.initializers.Initializer
) -> jax.Array:
    """Applies the last layer; with 0 classes, returns its input, the features.

    Args:
        x: ``(batch, features)``.
        num_classes: number of outputs; 0 returns ``x``.
        kernel_init: initializer of the layer.
    """
    return nn.Dense(num_classes, kernel_init=kernel_init)(x) if num_classes else x


def rates(last: float, blocks: int) -> list[float]:
    """The rates of stochastic depth: they rise linearly from 0 to ``last``."""
    return [last * number / max(blocks - 1, 1) for number in range(blocks)]
