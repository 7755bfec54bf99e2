"""DenseNet-121 (Huang, Liu, van der Maaten and Weinberger 2016, arXiv:1608.06993)."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from cnnjax import layers as nn
from cnnjax import ops
from cnnjax.models.conv_norm import ConvNorm
from cnnjax.models.head import logits
from cnnjax.models.initializers import make_initializer
from cnnjax.models.stem import check_rank, is_small


class DenseLayer(nn.Module):
    """Computes new channels: normalization, 1x1 convolution, normalization, 3x3.

    Attributes:
        growth: the number of new channels.
        conv_norm: the network's convolution and batch normalization.
    """

    growth: int
    conv_norm: ConvNorm

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Appends the new channels to ``x (batch, height, width, channels)``."""
        norm, conv, y = self.conv_norm.norm, self.conv_norm.conv, x
        y = conv(4 * self.growth, (1, 1))(norm(y, nn.relu))
        y = conv(self.growth, (3, 3))(norm(y, nn.relu))
        return jnp.concatenate([x, y], axis=-1)


class DenseNet(nn.Module):
    """Stages of layers, each of which sees the outputs of all layers before it.

    Between stages, a 1x1 convolution halves the number of channels, and average
    pooling halves the size.

    Attributes:
        num_classes: number of outputs; 0 gives the pooled features.
        blocks: number of layers in each stage.
        growth: channels that each layer adds; the stem has twice as many.
        stem: ``"imagenet"``, a 7x7 convolution and max-pooling that shrink images by 4;
            or ``"cifar"``, a 3x3 convolution that keeps their size.
        dropout: the fraction of values before the last layer dropped in training.
        remat: whether to save memory: keep only the input of each layer, and compute
            the rest again in the backward pass.
        kernel_init: the name of the weights' initializer (see ``INITIALIZERS``).
        axis_name: axis of the devices over which batch normalization computes its
            moments; default: each device computes its own.
        dtype: dtype of all layers except the last; default: that of weights and images.
    """

    num_classes: int
    blocks: Sequence[int] = (6, 12, 24, 16)
    growth: int = 32
    stem: str = "imagenet"
    dropout: float = 0.0
    remat: bool = False
    kernel_init: str = "he_normal"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps ``(batch, height, width, channels)`` to logits ``(batch, classes)``.

        Raises:
            ValueError: an unknown stem, or images that are not 2-D.
        """
        check_rank(x)
        init = make_initializer(self.kernel_init)
        conv_norm = ConvNorm(train, init, self.axis_name, self.dtype)
        x = self._begin(x, conv_norm)
        layer: Any = nn.remat(DenseLayer) if self.remat else DenseLayer
        number = 0
        for stage, count in enumerate(self.blocks):
            if stage:
                x = conv_norm.norm(x, nn.relu)
                x = conv_norm.conv(x.shape[-1] // 2, (1, 1))(x)
                x = nn.avg_pool(x, (2, 2), (2, 2))
            for _ in range(count):
                # The automatic name, which would differ with remat.
                x = layer(self.growth, conv_norm, name=f"DenseLayer_{number}")(x)
                number += 1
        x = ops.global_avg_pool(conv_norm.norm(x, nn.relu))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return logits(x, self.num_classes, init)

    def _begin(self, x, conv_norm: ConvNorm):
        width = 2 * self.growth
        if is_small(self.stem):
            return conv_norm(x, width, 3, activation=nn.relu)
        x = conv_norm(x, width, 7, 2, activation=nn.relu)
        return nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))


class DenseNet121(DenseNet):
    """7,978,856 parameters with 1000 classes."""
