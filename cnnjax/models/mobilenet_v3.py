"""MobileNetV3 (Howard et al. 2019, arXiv:1905.02244), with torchvision's details."""

from typing import Any, ClassVar, NamedTuple

import jax
from jax.typing import DTypeLike

from cnnjax import layers as nn
from cnnjax import ops
from cnnjax.models.conv_norm import ConvNorm
from cnnjax.models.head import logits, rates
from cnnjax.models.initializers import make_initializer
from cnnjax.models.mobilenet import scaled
from cnnjax.models.squeeze_excite import SqueezeExcite
from cnnjax.models.stem import check_rank, is_small


class Row(NamedTuple):
    """A block: a row of the paper's tables 1 and 2.

    Attributes:
        size: taps of the depthwise convolution on each axis.
        middle: channels of the depthwise convolution.
        width: output channels.
        squeeze_excite: whether it has gates.
        hard: whether its activation is hard swish, in place of ReLU.
        stride: stride of the depthwise convolution.
    """

    size: int
    middle: int
    width: int
    squeeze_excite: bool
    hard: bool
    stride: int


LARGE = (
    Row(3, 16, 16, False, False, 1),
    Row(3, 64, 24, False, False, 2),
    Row(3, 72, 24, False, False, 1),
    Row(5, 72, 40, True, False, 2),
    Row(5, 120, 40, True, False, 1),
    Row(5, 120, 40, True, False, 1),
    Row(3, 240, 80, False, True, 2),
    Row(3, 200, 80, False, True, 1),
    Row(3, 184, 80, False, True, 1),
    Row(3, 184, 80, False, True, 1),
    Row(3, 480, 112, True, True, 1),
    Row(3, 672, 112, True, True, 1),
    Row(5, 672, 160, True, True, 2),
    Row(5, 960, 160, True, True, 1),
    Row(5, 960, 160, True, True, 1),
)
SMALL = (
    Row(3, 16, 16, True, False, 2),
    Row(3, 72, 24, False, False, 2),
    Row(3, 88, 24, False, False, 1),
    Row(5, 96, 40, True, True, 2),
    Row(5, 240, 40, True, True, 1),
    Row(5, 240, 40, True, True, 1),
    Row(5, 120, 48, True, True, 1),
    Row(5, 144, 48, True, True, 1),
    Row(5, 288, 96, True, True, 2),
    Row(5, 576, 96, True, True, 1),
    Row(5, 576, 96, True, True, 1),
)


class MobileBlock(nn.Module):
    """An inverted residual with gates: 1x1 convolution, depthwise, gates, 1x1.

    Attributes:
        row: its sizes, scaled.
        conv_norm: the network's convolution and batch normalization.
        drop: the rate of stochastic depth.
    """

    row: Row
    conv_norm: ConvNorm
    drop: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(batch, height, width, channels)`` to ``row.width`` channels."""
        conv_norm, row, y = self.conv_norm, self.row, x
        activation = nn.hard_swish if row.hard else nn.relu
        if row.middle != x.shape[-1]:
            y = conv_norm(y, row.middle, 1, activation=activation)
        size, stride, groups = row.size, row.stride, row.middle
        y = conv_norm(y, groups, size, stride, groups=groups, activation=activation)
        if row.squeeze_excite:
            y = SqueezeExcite(
                scaled(row.middle, 0.25),
                conv_norm.kernel_init,
                conv_norm.dtype,
                gate=nn.hard_sigmoid,
            )(y)
        y = conv_norm(y, row.width, 1)
        if row.stride != 1 or x.shape[-1] != row.width:
            return y
        return x + nn.StochasticDepth(self.drop, not conv_norm.train)(y)


class MobileNetV3Large(nn.Module):
    """5,483,032 parameters with 1000 classes.

    Attributes:
        num_classes: number of outputs; 0 gives the features before the last layer.
        multiplier: factor for all widths.
        stem: ``"imagenet"``, the paper's strides, which shrink images by 32; or
            ``"cifar"``, where the first convolution and the first block with a stride
            have stride 1, which shrinks them by 8.
        dropout: the fraction of values before the last layer dropped in training.
        stochastic_depth: the rate at which the last block is dropped in training; those
            before it are dropped less.
        remat: whether to save memory: keep only the input of each block, and compute
            the rest again in the backward pass.
        epsilon: added to variances by batch normalization; torchvision's weights need
            1e-3, and timm's need 1e-5.
        kernel_init: the name of the weights' initializer (see ``INITIALIZERS``).
        axis_name: axis of the devices over which batch normalization computes its
            moments; default: each device computes its own.
        dtype: dtype of all layers except the last; default: that of weights and images.
    """

    num_classes: int
    multiplier: float = 1.0
    stem: str = "imagenet"
    dropout: float = 0.2
    stochastic_depth: float = 0.0
    remat: bool = False
    epsilon: float = 1e-3
    kernel_init: str = "he_normal"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    rows: ClassVar[tuple[Row, ...]] = LARGE
    hidden: ClassVar[int] = 1280  # units of the dense layer before the last

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
        conv_norm = ConvNorm(
            train, init, self.axis_name, self.dtype, epsilon=self.epsilon, momentum=0.99
        )
        swish, stride = nn.hard_swish, 1 if small else 2
        x = conv_norm(x, scaled(16, self.multiplier), 3, stride, activation=swish)
        block: Any = nn.remat(MobileBlock) if self.remat else MobileBlock
        drops = rates(self.stochastic_depth, len(self.rows))
        for number, row in enumerate(self._scaled_rows(small)):
            # The automatic name, which would differ with remat.
            name = f"MobileBlock_{number}"
            x = block(row, conv_norm, drops[number], name=name)(x)
        x = conv_norm(x, 6 * x.shape[-1], 1, activation=swish)
        x = ops.global_avg_pool(x)
        hidden = scaled(self.hidden, max(1.0, self.multiplier))
        x = swish(nn.Dense(hidden, dtype=self.dtype, kernel_init=init)(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return logits(x, self.num_classes, init)

    def _scaled_rows(self, small):
        rows = [
            row._replace(
                middle=scaled(row.middle, self.multiplier),
                width=scaled(row.width, self.multiplier),
            )
            for row in self.rows
        ]
        if small:
            first = [row.stride for row in rows].index(2)
            rows[first] = rows[first]._replace(stride=1)
        return rows


class MobileNetV3Small(MobileNetV3Large):
    """2,542,856 parameters with 1000 classes."""

    rows: ClassVar[tuple[Row, ...]] = SMALL
    hidden: ClassVar[int] = 1024
