"""MobileNetV2 (Sandler, Howard, Zhu, Zhmoginov and Chen 2018, arXiv:1801.04381)."""

from typing import NamedTuple

import jax
from jax.typing import DTypeLike

from cnnjax import layers as nn
from cnnjax import ops
from cnnjax.models.initializers import make_initializer
from cnnjax.models.norm_relu import Norm, norm, norm_relu
from cnnjax.models.stem import is_small


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
    """``width * multiplier`` rounded to a multiple of 8, at most a tenth lower."""
    wanted = width * multiplier
    nearest = max(8, int(wanted + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * wanted else nearest + 8


class InvertedResidual(nn.Module):
    """1x1 convolution to more channels, 3x3 depthwise, 1x1 to fewer, and a shortcut.

    Attributes:
        width: output channels.
        stride: stride of the 3x3 convolution.
        expansion: channels in the middle divided by input channels.
        kernel_init: initializer of the convolutions.
        norm: settings of batch normalization.
    """

    width: int
    stride: int
    expansion: int
    kernel_init: nn.initializers.Initializer
    norm: Norm

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(batch, height, width, channels)`` to ``width`` channels."""
        inputs = x.shape[-1]
        middle, y = inputs * self.expansion, x
        if self.expansion != 1:
            y = self._conv(middle, 1)(y)
            y = norm_relu(y, self.norm, 6)
        y = self._conv(middle, 3, self.stride, groups=middle)(y)
        y = norm_relu(y, self.norm, 6)
        y = norm(self._conv(self.width, 1)(y), self.norm)
        return x + y if self.stride == 1 and inputs == self.width else y

    def _conv(self, width, size, stride=1, groups=1):
        return conv(width, size, stride, self.kernel_init, self.norm.dtype, groups)


class MobileNetV2(nn.Module):
    """3,504,872 parameters with 1000 classes.

    Attributes:
        num_classes: number of outputs.
        multiplier: factor for all widths.
        stem: ``"imagenet"``, the paper's strides, which shrink images by 32; or
            ``"cifar"``, where the first convolution and the second stage have stride
            1, which shrinks them by 8.
        dropout: the fraction of values before the last layer dropped in training.
        kernel_init: the name of the weights' initializer (see ``INITIALIZERS``).
        axis_name: axis of the devices over which batch normalization computes its
            moments; default: each device computes its own.
        dtype: dtype of all layers except the last; default: that of weights and images.
    """

    num_classes: int
    multiplier: float = 1.0
    stem: str = "imagenet"
    dropout: float = 0.0
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
        if x.ndim != 4:
            raise ValueError(f"x has shape {x.shape}, expected 2-D images of 4 axes")
        if not self.multiplier > 0:
            raise ValueError(f"multiplier is {self.multiplier}, expected more than 0")
        init, small = make_initializer(self.kernel_init), is_small(self.stem)
        how = Norm(train, self.axis_name, self.dtype)
        x = conv(scaled(32, self.multiplier), 3, 1 if small else 2, init, self.dtype)(x)
        x = norm_relu(x, how, 6)
        for number, stage in enumerate(STAGES):
            stride = 1 if small and number == 1 else stage.stride
            x = self._stage(x, how, stage._replace(stride=stride), init)
        x = conv(scaled(1280, max(1.0, self.multiplier)), 1, 1, init, self.dtype)(x)
        x = norm_relu(x, how, 6)
        x = nn.Dropout(self.dropout, deterministic=not train)(ops.global_avg_pool(x))
        return nn.Dense(self.num_classes, kernel_init=init)(x)

    def _stage(self, x, norm, stage, init):
        width = scaled(stage.width, self.multiplier)
        for number in range(stage.blocks):
            stride = 1 if number else stage.stride
            x = InvertedResidual(width, stride, stage.expansion, init, norm)(x)
        return x


def conv(width, size, stride, init, dtype, groups=1) -> nn.Conv:
    """A convolution without bias, padded equally on both sides."""
    return nn.Conv(
        width,
        (size, size),
        (stride, stride),
        padding=size // 2,
        feature_group_count=groups,
        use_bias=False,
        dtype=dtype,
        kernel_init=init,
    )
