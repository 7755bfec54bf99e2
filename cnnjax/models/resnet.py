"""Residual networks of basic blocks (He, Zhang, Ren and Sun 2015, arXiv:1512.03385).

Where a block changes the shape, its shortcut is a 1x1 convolution with batch
normalization (the paper's option B). Padding is equal on both sides, as in PyTorch.
"""

from collections.abc import Sequence

import jax
from jax.typing import DTypeLike

from cnnjax import layers as nn
from cnnjax import ops
from cnnjax.models.initializers import make_initializer
from cnnjax.models.norm_relu import Norm, norm, norm_add_relu, norm_relu
from cnnjax.models.stem import is_small


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, each with batch normalization, and a shortcut around them.

    Attributes:
        width: output channels.
        stride: stride of the first convolution.
        kernel_init: initializer of the convolutions.
        norm: settings of batch normalization.
    """

    width: int
    stride: int
    kernel_init: nn.initializers.Initializer
    norm: Norm

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(batch, height, width, channels)`` to ``width`` channels."""
        shortcut = self._shortcut(x)
        y = self._conv(3, self.stride)(x)
        y = norm_relu(y, self.norm)
        y = self._conv(3, 1)(y)
        return norm_add_relu(y, shortcut, self.norm)

    def _shortcut(self, x):
        if self.stride == 1 and x.shape[-1] == self.width:
            return x
        y = self._conv(1, self.stride, "shortcut_conv")(x)
        return norm(y, self.norm, "shortcut_norm")

    def _conv(self, size, stride, name=None):
        return nn.Conv(
            self.width,
            (size, size),
            (stride, stride),
            padding=size // 2,
            use_bias=False,
            dtype=self.norm.dtype,
            kernel_init=self.kernel_init,
            name=name,
        )


class ResNet(nn.Module):
    """A stem, stages of basic blocks, global average pooling and a dense layer.

    Each stage after the first halves height and width.

    Attributes:
        num_classes: number of outputs.
        blocks: number of blocks in each stage.
        widths: channels of each stage.
        stem: ``"imagenet"``, a 7x7 convolution and max-pooling that shrink images by 4;
            or ``"cifar"``, a 3x3 convolution that keeps their size.
        kernel_init: the name of the weights' initializer (see ``INITIALIZERS``).
        axis_name: axis of the devices over which batch normalization computes its
            moments; default: each device computes its own.
        dtype: dtype of all layers except the last; default: that of weights and images.
    """

    num_classes: int
    blocks: Sequence[int] = (2, 2, 2, 2)
    widths: Sequence[int] = (64, 128, 256, 512)
    stem: str = "imagenet"
    kernel_init: str = "he_normal"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps ``(batch, height, width, channels)`` to logits ``(batch, classes)``.

        Raises:
            ValueError: an unknown stem, ``blocks`` and ``widths`` of different lengths,
                or images that are not 2-D.
        """
        if x.ndim != 4:
            raise ValueError(f"x has shape {x.shape}, expected 2-D images of 4 axes")
        if not self.blocks or len(self.blocks) != len(self.widths):
            raise ValueError(
                f"blocks is {self.blocks} and widths is {self.widths}, expected one"
                " entry per stage in each, and at least one stage"
            )
        init = make_initializer(self.kernel_init)
        norm = Norm(train, self.axis_name, self.dtype)
        x = self._begin(x, norm, init)
        for stage, (count, width) in enumerate(
            zip(self.blocks, self.widths, strict=True)
        ):
            for number in range(count):
                stride = 2 if stage and not number else 1
                x = BasicBlock(width, stride, init, norm)(x)
        return nn.Dense(self.num_classes, kernel_init=init)(ops.global_avg_pool(x))

    def _begin(self, x, norm, init):
        small = is_small(self.stem)
        size, stride = (3, 1) if small else (7, 2)
        conv = nn.Conv(
            self.widths[0],
            (size, size),
            (stride, stride),
            padding=size // 2,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=init,
        )
        x = norm_relu(conv(x), norm)
        return x if small else nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))


class ResNet18(ResNet):
    """11,689,512 parameters with 1000 classes."""


class ResNet34(ResNet):
    """21,797,672 parameters with 1000 classes."""

    blocks: Sequence[int] = (3, 4, 6, 3)


class ResNet20(ResNet):
    """The paper's smallest network for CIFAR-10; 272,474 parameters."""

    blocks: Sequence[int] = (3, 3, 3)
    widths: Sequence[int] = (16, 32, 64)
    stem: str = "cifar"


class ResNet32(ResNet20):
    """466,906 parameters with 10 classes."""

    blocks: Sequence[int] = (5, 5, 5)


class ResNet44(ResNet20):
    """661,338 parameters with 10 classes."""

    blocks: Sequence[int] = (7, 7, 7)


class ResNet56(ResNet20):
    """855,770 parameters with 10 classes."""

    blocks: Sequence[int] = (9, 9, 9)


class ResNet110(ResNet20):
    """1,730,714 parameters with 10 classes."""

    blocks: Sequence[int] = (18, 18, 18)
