"""MobileNetV2 (Sandler, Howard, Zhu, Zhmoginov and Chen 2018, arXiv:1801.04381)."""

from typing import NamedTuple

import jax
from jax.typing import DTypeLike

from cnnjax import layers as nn
from cnnjax import ops
from cnnjax.models.conv_norm import ConvNorm
from cnnjax.models.head import logits, rates
from cnnjax.models.initializers import make_initializer
from cnnjax.models.stem import check_rank, is_small


class Stage(NamedTuple):
    """A row of the paper's table 2: blocks of one width, the first with a stride."""

    expansion: int
    width: int
    blocks: int
    stride: int


STAGES = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)


def scaled(width: int, multiplier: float) -> int:
    """``width * multiplier`` rounded to a multiple of 8, down by at most 10 %."""
    wanted = width * multiplier
    nearest = max(8, int(wanted + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * wanted else nearest + 8


class InvertedResidual(nn.Module):
    """1x1 convolution to more channels, 3x3 depthwise, 1x1 to fewer, and a shortcut.

    Attributes:
        width: output channels.
        stride: stride of the 3x3 convolution.
        expansion: channels in the middle divided by input channels.
        conv_norm: the network's convolution and batch normalization.
        drop: the rate of stochastic depth.
    """

    width: int
    stride: int
    expansion: int
    conv_norm: ConvNorm
    drop: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(batch, height, width, channels)`` to ``width`` channels."""
        conv_norm, relu6, inputs = self.conv_norm, nn.relu6, x.shape[-1]
        middle, y = inputs * self.expansion, x
        if self.expansion != 1:
            y = conv_norm(y, middle, 1, activation=relu6)
        y = conv_norm(y, middle, 3, self.stride, groups=middle, activation=relu6)
        y = conv_norm(y, self.width, 1)
        if self.stride != 1 or inputs != self.width:
            return y
        if self.drop:
            y = nn.StochasticDepth(self.drop, not conv_norm.train)(y)
        return x + y


class MobileNetV2(nn.Module):
    """3,504,872 parameters with 1000 classes.

    Attributes:
        num_classes: number of outputs; 0 gives the pooled features.
        multiplier: factor for all widths.
        stem: ``"imagenet"``, the paper's strides, which shrink images by 32; or
            ``"cifar"``, where the first convolution and the second stage have stride
            1, which shrinks them by 8.
        dropout: the fraction of values before the last layer dropped in training.
        stochastic_depth: the rate at which the last block is dropped in training; those
            before it are dropped less.
        remat: whether to save memory: keep only the input of each block, and compute
            the rest again in the backward pass.
        kernel_init: the name of the weights' initializer (see ``INITIALIZERS``).
        axis_name: axis of the devices over which batch normalization computes its
            moments; default: each device computes its own.
        dtype: dtype of all layers except the last; default: that of weights and images.
    """

    num_classes: int
    multiplier: float = 1.0
    stem: str = "imagenet"
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    remat: bool = False
    kernel_init: str = "he_normal"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps ``(batch, height, width, channels)`` to logits ``(batch, classes)``.

        Raises:
            ValueError: an unknown stem, a multiplier that is not positive, or images
                that are not 2-D.
        """
        check_rank(x)
        if not self.multiplier > 0:
            raise ValueError(f"multiplier is {self.multiplier}, expected more than 0")
        init, small = make_initializer(self.kernel_init), is_small(self.stem)
        conv_norm = ConvNorm(train, init, self.axis_name, self.dtype)
        width = scaled(32, self.multiplier)
        x = conv_norm(x, width, 3, 1 if small else 2, activation=nn.relu6)
        drops = rates(self.stochastic_depth, sum(stage.blocks for stage in STAGES))
        block = nn.remat(InvertedResidual) if self.remat else InvertedResidual
        number = 0
        for index, stage in enumerate(STAGES):
            width = scaled(stage.width, self.multiplier)
            for first in (True, *[False] * (stage.blocks - 1)):
                halves = first and not (small and index == 1)
                x = block(
                    width,
                    stage.stride if halves else 1,
                    stage.expansion,
                    conv_norm,
                    drops[number],
                    # The automatic name, which would differ with remat.
                    name=f"InvertedResidual_{number}",
                )(x)
                number += 1
        width = scaled(1280, max(1.0, self.multiplier))
        x = conv_norm(x, width, 1, activation=nn.relu6)
        x = nn.Dropout(self.dropout, deterministic=not train)(ops.global_avg_pool(x))
        return logits(x, self.num_classes, init)
