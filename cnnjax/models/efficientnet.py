"""EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946) and EfficientNet-Lite0.

Lite0 (Liu 2020, "Higher accuracy on vision models with EfficientNet-Lite") is B0
without gates and with ReLU6. Its published weights are TensorFlow's, so it pads as
TensorFlow does; those of B0 are PyTorch's.
"""

from typing import Any, ClassVar, NamedTuple

import jax
from jax.typing import DTypeLike

from cnnjax import layers as nn
from cnnjax import ops
from cnnjax.models.conv_norm import ConvNorm
from cnnjax.models.head import logits, rates
from cnnjax.models.initializers import make_initializer
from cnnjax.models.squeeze_excite import SqueezeExcite
from cnnjax.models.stem import check_rank, is_small


class Stage(NamedTuple):
    """A row of the paper's table 1: blocks of one width, the first with a stride."""

    expansion: int
    size: int
    width: int
    blocks: int
    stride: int


STAGES = (
    Stage(1, 3, 16, 1, 1),
    Stage(6, 3, 24, 2, 2),
    Stage(6, 5, 40, 2, 2),
    Stage(6, 3, 80, 3, 2),
    Stage(6, 5, 112, 3, 1),
    Stage(6, 5, 192, 4, 2),
    Stage(6, 3, 320, 1, 1),
)


class MBConv(nn.Module):
    """1x1 convolution to more channels, depthwise, gates, 1x1 to fewer, and a shortcut.

    Attributes:
        width: output channels.
        size: taps of the depthwise convolution on each axis.
        stride: stride of the depthwise convolution.
        expansion: channels in the middle divided by input channels.
        conv_norm: the network's convolution and batch normalization.
        lite: whether to leave out the gates, and use ReLU6 in place of SiLU.
        drop: the rate of stochastic depth.
    """

    width: int
    size: int
    stride: int
    expansion: int
    conv_norm: ConvNorm
    lite: bool = False
    drop: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(batch, height, width, channels)`` to ``width`` channels."""
        conv_norm, inputs, y = self.conv_norm, x.shape[-1], x
        activation = nn.relu6 if self.lite else nn.silu
        middle = inputs * self.expansion
        if self.expansion != 1:
            y = conv_norm(y, middle, 1, activation=activation)
        y = conv_norm(
            y, middle, self.size, self.stride, groups=middle, activation=activation
        )
        if not self.lite:
            y = SqueezeExcite(
                max(inputs // 4, 1),
                conv_norm.kernel_init,
                conv_norm.dtype,
                activation=nn.silu,
            )(y)
        y = conv_norm(y, self.width, 1)
        if self.stride != 1 or inputs != self.width:
            return y
        return x + nn.StochasticDepth(self.drop, not conv_norm.train)(y)


class EfficientNetB0(nn.Module):
    """5,288,548 parameters with 1000 classes.

    Attributes:
        num_classes: number of outputs; 0 gives the pooled features.
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
    stem: str = "imagenet"
    dropout: float = 0.2
    stochastic_depth: float = 0.2
    remat: bool = False
    kernel_init: str = "he_normal"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    lite: ClassVar[bool] = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps ``(batch, height, width, channels)`` to logits ``(batch, classes)``.

        Raises:
            ValueError: an unknown stem, or images that are not 2-D.
        """
        check_rank(x)
        init, small = make_initializer(self.kernel_init), is_small(self.stem)
        conv_norm = ConvNorm(train, init, self.axis_name, self.dtype)
        if self.lite:
            conv_norm = conv_norm._replace(epsilon=1e-3, momentum=0.99, padding="SAME")
        activation = nn.relu6 if self.lite else nn.silu
        x = conv_norm(x, 32, 3, 1 if small else 2, activation=activation)
        for index, stage in enumerate(STAGES):
            stride = 1 if small and index == 1 else stage.stride
            x = self._stage(x, index, stride, conv_norm)
        x = conv_norm(x, 1280, 1, activation=activation)
        x = nn.Dropout(self.dropout, deterministic=not train)(ops.global_avg_pool(x))
        return logits(x, self.num_classes, init)

    def _stage(self, x, index, stride, conv_norm):
        block: Any = nn.remat(MBConv) if self.remat else MBConv
        drops = rates(self.stochastic_depth, sum(stage.blocks for stage in STAGES))
        before, stage = sum(stage.blocks for stage in STAGES[:index]), STAGES[index]
        for number in range(before, before + stage.blocks):
            x = block(
                stage.width,
                stage.size,
                stride if number == before else 1,
                stage.expansion,
                conv_norm,
                self.lite,
                drops[number],
                name=f"MBConv_{number}",  # the automatic name, also with remat
            )(x)
        return x


class EfficientNetLite0(EfficientNetB0):
    """4,652,008 parameters with 1000 classes."""

    lite: ClassVar[bool] = True
