"""Residual networks (He, Zhang, Ren and Sun 2015, arXiv:1512.03385), and variants.

Where a block changes the shape, its shortcut is a 1x1 convolution with batch
normalization (the paper's option B). Padding is equal on both sides, as in PyTorch.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
from jax.typing import DTypeLike

from cnnjax import layers as nn
from cnnjax import ops
from cnnjax.models.conv_norm import ConvNorm
from cnnjax.models.head import logits, rates
from cnnjax.models.initializers import make_initializer
from cnnjax.models.resnet_blocks import BasicBlock, Bottleneck
from cnnjax.models.stem import check_rank, check_stages, is_small


class ResNet(nn.Module):
    """A stem, stages of residual blocks, global average pooling and a dense layer.

    Each stage after the first halves height and width.

    Attributes:
        num_classes: number of outputs; 0 gives the pooled features.
        blocks: number of blocks in each stage.
        widths: channels of each stage; bottlenecks have four times as many outputs.
        bottleneck: whether blocks are bottlenecks of three convolutions.
        groups: groups of a bottleneck's 3x3 convolution (ResNeXt).
        width_per_group: channels of each group, in a stage of width 64.
        squeeze_excite: whether blocks have gates (SE-ResNet).
        variant_d: whether the stem has three 3x3 convolutions in place of the 7x7 one,
            and shortcuts use average pooling in place of a stride (ResNet-D).
        stem: ``"imagenet"``, a 7x7 convolution and max-pooling that shrink images by 4;
            or ``"cifar"``, a 3x3 convolution that keeps their size.
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
    blocks: Sequence[int] = (2, 2, 2, 2)
    widths: Sequence[int] = (64, 128, 256, 512)
    bottleneck: bool = False
    groups: int = 1
    width_per_group: int = 64
    squeeze_excite: bool = False
    variant_d: bool = False
    stem: str = "imagenet"
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    remat: bool = False
    kernel_init: str = "he_normal"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    rank: ClassVar[int] = 2

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps ``(batch, *spatial, channels)`` to logits ``(batch, classes)``.

        Raises:
            ValueError: an unknown stem, ``blocks`` and ``widths`` of different lengths,
                or images with another number of axes.
        """
        check_rank(x, self.rank)
        check_stages(self.blocks, self.widths)
        init = make_initializer(self.kernel_init)
        conv_norm = ConvNorm(train, init, self.axis_name, self.dtype)
        x = self._begin(x, conv_norm)
        drops = iter(rates(self.stochastic_depth, sum(self.blocks)))
        for stage, count in enumerate(self.blocks):
            for number in range(count):
                x = self._block(x, stage, number, conv_norm, next(drops))
        x = nn.Dropout(self.dropout, deterministic=not train)(ops.global_avg_pool(x))
        return logits(x, self.num_classes, init)

    def _begin(self, x, conv_norm: ConvNorm):
        width, relu = self.widths[0], nn.relu
        if is_small(self.stem):
            return conv_norm(x, width, 3, activation=relu)
        if self.variant_d:
            x = conv_norm(x, width // 2, 3, 2, activation=relu)
            x = conv_norm(x, width // 2, 3, activation=relu)
            x = conv_norm(x, width, 3, activation=relu)
        else:
            x = conv_norm(x, width, 7, 2, activation=relu)
        rank = self.rank
        return nn.max_pool(x, (3,) * rank, (2,) * rank, ((1, 1),) * rank)

    def _block(self, x, stage, number, conv_norm, drop):
        kind, options = BasicBlock, {}
        if self.bottleneck:
            kind = Bottleneck
            options = {"groups": self.groups, "width_per_group": self.width_per_group}
        block: Any = nn.remat(kind) if self.remat else kind
        return block(
            self.widths[stage],
            2 if stage and not number else 1,
            conv_norm,
            squeeze_excite=self.squeeze_excite,
            average_shortcut=self.variant_d,
            drop=drop,
            **options,
            # The automatic name, which would differ with remat.
            name=f"{kind.__name__}_{sum(self.blocks[:stage]) + number}",
        )(x)


class ResNet18(ResNet):
    """11,689,512 parameters with 1000 classes."""


class ResNet34(ResNet):
    """21,797,672 parameters with 1000 classes."""

    blocks: Sequence[int] = (3, 4, 6, 3)


class ResNet50(ResNet34):
    """25,557,032 parameters with 1000 classes."""

    bottleneck: bool = True


class ResNet101(ResNet50):
    """44,549,160 parameters with 1000 classes."""

    blocks: Sequence[int] = (3, 4, 23, 3)


class ResNet152(ResNet50):
    """60,192,808 parameters with 1000 classes."""

    blocks: Sequence[int] = (3, 8, 36, 3)


class ResNet18D(ResNet):
    """ResNet-18 in the variant D of He et al. 2018 (arXiv:1812.01187), section 4."""

    variant_d: bool = True


class ResNet50D(ResNet50):
    """ResNet-50-D (He, Zhang, Zhang, Zhang, Xie and Li 2018, arXiv:1812.01187)."""

    variant_d: bool = True


class ResNeXt50(ResNet50):
    """ResNeXt-50 32x4d (Xie, Girshick, Dollar, Tu and He 2016, arXiv:1611.05431)."""

    groups: int = 32
    width_per_group: int = 4


class WideResNet50(ResNet50):
    """Wide ResNet-50-2 (Zagoruyko and Komodakis 2016, arXiv:1605.07146)."""

    width_per_group: int = 128


class SEResNet50(ResNet50):
    """SE-ResNet-50 (Hu, Shen, Albanie, Sun and Wu 2017, arXiv:1709.01507)."""

    squeeze_excite: bool = True


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


class ResNet1D18(ResNet):
    """ResNet-18 for signals ``(batch, length, channels)``, every kernel 1-D.

    Residual networks are a strong baseline for time series (Wang, Yan and Oates 2016,
    arXiv:1611.06455).
    """

    rank: ClassVar[int] = 1


class ResNet3D18(ResNet):
    """R3D-18 for videos and other volumes (Tran et al. 2017, arXiv:1711.11248).

    33,371,472 parameters with 400 classes. The stem of ``(batch, frames, height, width,
    channels)`` halves height and width and keeps all frames; there is no pooling.
    """

    rank: ClassVar[int] = 3

    def _begin(self, x, conv_norm: ConvNorm):
        if is_small(self.stem):
            return conv_norm(x, self.widths[0], 3, activation=nn.relu)
        return conv_norm(x, self.widths[0], (3, 7, 7), (1, 2, 2), activation=nn.relu)
