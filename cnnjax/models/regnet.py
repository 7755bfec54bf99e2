"""RegNetY-400MF (Radosavovic et al. 2020, arXiv:2003.13678)."""

from collections.abc import Sequence
from typing import Any

import jax
from jax.typing import DTypeLike

from cnnjax import layers as nn
from cnnjax import ops
from cnnjax.models.conv_norm import ConvNorm
from cnnjax.models.head import logits, rates
from cnnjax.models.initializers import make_initializer
from cnnjax.models.squeeze_excite import SqueezeExcite
from cnnjax.models.stem import check_rank, check_stages, is_small


class RegNetBlock(nn.Module):
    """A 1x1, a 3x3 grouped and a 1x1 convolution of one width, gates, and a shortcut.

    Attributes:
        width: output channels.
        stride: stride of the 3x3 convolution.
        group_width: channels of each of its groups.
        conv_norm: the network's convolution and batch normalization.
        drop: the rate of stochastic depth.
    """

    width: int
    stride: int
    group_width: int
    conv_norm: ConvNorm
    drop: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(batch, height, width, channels)`` to ``width`` channels."""
        conv_norm, width, stride = self.conv_norm, self.width, self.stride
        shortcut = x
        if stride != 1 or x.shape[-1] != width:
            shortcut = conv_norm(x, width, 1, stride, name="shortcut")
        y = conv_norm(x, width, 1, activation=nn.relu)
        groups = width // self.group_width
        y = conv_norm(y, width, 3, stride, groups=groups, activation=nn.relu)
        reduced = max(round(x.shape[-1] / 4), 1)
        y = SqueezeExcite(reduced, conv_norm.kernel_init, conv_norm.dtype)(y)
        if not self.drop:
            return conv_norm(y, width, 1, activation=nn.relu, add=shortcut)
        drop = nn.StochasticDepth(self.drop, not conv_norm.train)
        return nn.relu(drop(conv_norm(y, width, 1)) + shortcut)


class RegNetY(nn.Module):
    """A 3x3 convolution, and stages of bottlenecks with groups and gates.

    Attributes:
        num_classes: number of outputs; 0 gives the pooled features.
        blocks: number of blocks in each stage.
        widths: channels of each stage, multiples of ``group_width``.
        group_width: channels of each group of the 3x3 convolutions.
        stem: ``"imagenet"``, a convolution with stride 2; or ``"cifar"``, where it and
            the first stage have stride 1.
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
    blocks: Sequence[int] = (1, 3, 6, 6)
    widths: Sequence[int] = (48, 104, 208, 440)
    group_width: int = 8
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
            ValueError: an unknown stem, ``blocks`` and ``widths`` of different lengths,
                widths that are not multiples of ``group_width``, or images that are not
                2-D.
        """
        check_rank(x)
        check_stages(self.blocks, self.widths)
        self._check_widths()
        init, small = make_initializer(self.kernel_init), is_small(self.stem)
        conv_norm = ConvNorm(train, init, self.axis_name, self.dtype)
        x = conv_norm(x, 32, 3, 1 if small else 2, activation=nn.relu)
        block: Any = nn.remat(RegNetBlock) if self.remat else RegNetBlock
        drops = rates(self.stochastic_depth, sum(self.blocks))
        number = 0
        for stage, (count, width) in enumerate(
            zip(self.blocks, self.widths, strict=True)
        ):
            for index in range(count):
                stride = 1 if index or (small and not stage) else 2
                x = block(
                    width,
                    stride,
                    self.group_width,
                    conv_norm,
                    drops[number],
                    name=f"RegNetBlock_{number}",  # the automatic name, with remat too
                )(x)
                number += 1
        x = nn.Dropout(self.dropout, deterministic=not train)(ops.global_avg_pool(x))
        return logits(x, self.num_classes, init)

    def _check_widths(self):
        if any(width % self.group_width for width in self.widths):
            raise ValueError(
                f"widths is {self.widths}, expected multiples of group_width,"
                f" {self.group_width}"
            )


class RegNetY400MF(RegNetY):
    """4,344,144 parameters with 1000 classes."""
