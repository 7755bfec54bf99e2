"""The blocks of residual networks.

The options of both are those of ResNet's variants: squeeze and excitation before the
sum (SE-ResNet), averaging in the shortcut (ResNet-D), groups and wider middles (ResNeXt
and WideResNet).
"""

import jax

from cnnjax import layers as nn
from cnnjax.models.conv_norm import ConvNorm
from cnnjax.models.squeeze_excite import SqueezeExcite


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, each with batch normalization, and a shortcut around them.

    Attributes:
        width: output channels.
        stride: stride of the first convolution.
        conv_norm: the network's convolution and batch normalization.
        squeeze_excite: whether to multiply the branch by gates before the sum.
        average_shortcut: whether a shortcut with a stride averages, in place of it.
        drop: the rate of stochastic depth.
    """

    width: int
    stride: int
    conv_norm: ConvNorm
    squeeze_excite: bool = False
    average_shortcut: bool = False
    drop: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(batch, *spatial, channels)`` to ``width`` channels."""
        shortcut = _shortcut(self, x, self.width)
        y = self.conv_norm(x, self.width, 3, self.stride, activation=nn.relu)
        return _end(self, y, self.width, 3, shortcut)


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution with normalization, and a shortcut.

    As in torchvision, the 3x3 convolution has the stride (the paper's first one does).

    Attributes:
        width: a quarter of the output channels.
        stride: stride of the 3x3 convolution.
        conv_norm: the network's convolution and batch normalization.
        squeeze_excite: whether to multiply the branch by gates before the sum.
        average_shortcut: whether a shortcut with a stride averages, in place of it.
        drop: the rate of stochastic depth.
        groups: groups of the 3x3 convolution.
        width_per_group: channels of each, in a block of width 64.
    """

    width: int
    stride: int
    conv_norm: ConvNorm
    squeeze_excite: bool = False
    average_shortcut: bool = False
    drop: float = 0.0
    groups: int = 1
    width_per_group: int = 64

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(batch, *spatial, channels)`` to ``4 * width`` channels."""
        conv_norm, relu, groups = self.conv_norm, nn.relu, self.groups
        shortcut = _shortcut(self, x, 4 * self.width)
        middle = self.width * self.width_per_group // 64 * groups
        y = conv_norm(x, middle, 1, activation=relu)
        y = conv_norm(y, middle, 3, self.stride, groups=groups, activation=relu)
        return _end(self, y, 4 * self.width, 1, shortcut)


def _shortcut(block, x, width):
    """``x``, or where the shape changes, its 1x1 convolution with normalization."""
    stride = block.stride
    if stride == 1 and x.shape[-1] == width:
        return x
    if block.average_shortcut and stride > 1:
        window = (stride,) * (x.ndim - 2)
        x = nn.avg_pool(x, window, window, "SAME", count_include_pad=False)
        stride = 1
    return block.conv_norm(x, width, 1, stride, name="shortcut")


def _end(block, y, width, size, shortcut):
    """The last convolution, what follows it in the branch, and the sum."""
    conv_norm = block.conv_norm
    if not block.squeeze_excite and not block.drop:
        return conv_norm(y, width, size, activation=nn.relu, add=shortcut)
    y = conv_norm(y, width, size)
    if block.squeeze_excite:
        reduced = max(width // 16, 1)
        y = SqueezeExcite(reduced, conv_norm.kernel_init, conv_norm.dtype)(y)
    y = nn.StochasticDepth(block.drop, not conv_norm.train)(y)
    return nn.relu(y + shortcut)
