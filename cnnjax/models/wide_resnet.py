"""Wide residual networks (Zagoruyko and Komodakis 2016, arXiv:1605.07146)."""

from collections.abc import Sequence

import jax
from jax.typing import DTypeLike

from cnnjax import layers as nn
from cnnjax import ops
from cnnjax.models.conv_norm import ConvNorm
from cnnjax.models.head import logits
from cnnjax.models.initializers import make_initializer
from cnnjax.models.stem import check_rank, check_stages


class PreActivationBlock(nn.Module):
    """Two 3x3 convolutions, each after normalization and ReLU, and a shortcut.

    Where the shape changes, the shortcut is a 1x1 convolution of the normalized input
    (He et al. 2016, arXiv:1603.05027).

    Attributes:
        width: output channels.
        stride: stride of the first convolution.
        conv_norm: the network's convolution and batch normalization.
        dropout: the fraction of values between the convolutions dropped in training.
    """

    width: int
    stride: int
    conv_norm: ConvNorm
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(batch, height, width, channels)`` to ``width`` channels."""
        conv, norm = self.conv_norm.conv, self.conv_norm.norm
        y = norm(x, nn.relu)
        if self.stride > 1 or x.shape[-1] != self.width:
            x = conv(self.width, (1, 1), self.stride, name="shortcut_conv")(y)
        y = norm(conv(self.width, (3, 3), self.stride)(y), nn.relu)
        y = nn.Dropout(self.dropout, deterministic=not self.conv_norm.train)(y)
        return x + conv(self.width, (3, 3))(y)


class WideResNet28x10(nn.Module):
    """WRN-28-10 for 32x32 images: 36,479,194 parameters with 10 classes.

    It has 28 layers, and 10 times the channels of a residual network for CIFAR. Each
    stage after the first halves height and width.

    Attributes:
        num_classes: number of outputs; 0 gives the pooled features.
        blocks: number of blocks in each stage.
        widths: channels of each stage.
        stem_width: channels of the first convolution.
        dropout: the fraction of values between the two convolutions of each block
            dropped in training; the paper's is 0.3.
        kernel_init: the name of the weights' initializer (see ``INITIALIZERS``).
        axis_name: axis of the devices over which batch normalization computes its
            moments; default: each device computes its own.
        dtype: dtype of all layers except the last; default: that of weights and images.
    """

    num_classes: int
    blocks: Sequence[int] = (4, 4, 4)
    widths: Sequence[int] = (160, 320, 640)
    stem_width: int = 16
    dropout: float = 0.0
    kernel_init: str = "he_normal"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps ``(batch, height, width, channels)`` to logits ``(batch, classes)``.

        Raises:
            ValueError: ``blocks`` and ``widths`` of different lengths, or images that
                are not 2-D.
        """
        check_rank(x)
        check_stages(self.blocks, self.widths)
        init = make_initializer(self.kernel_init)
        conv_norm = ConvNorm(train, init, self.axis_name, self.dtype)
        x = conv_norm.conv(self.stem_width, (3, 3))(x)
        for stage, count in enumerate(self.blocks):
            for number in range(count):
                stride = 2 if stage and not number else 1
                block = PreActivationBlock(
                    self.widths[stage], stride, conv_norm, self.dropout
                )
                x = block(x)
        return logits(
            ops.global_avg_pool(conv_norm.norm(x, nn.relu)), self.num_classes, init
        )
