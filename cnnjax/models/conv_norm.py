"""Convolution, batch normalization and activation: the block that all networks share.

The layers become submodules of the calling network or block, with Flax's automatic
names.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
from jax.typing import DTypeLike

from cnnjax import layers as nn

Activation = Callable[[jax.Array], jax.Array]
Sizes = int | Sequence[int]


class ConvNorm(NamedTuple):
    """The block, with the settings that all blocks of a network share.

    Attributes:
        train: whether to use the moments of the batch instead of the running ones.
        kernel_init: initializer of the convolutions.
        axis_name: axis of the devices across which moments are computed.
        dtype: dtype of the result.
        epsilon: added to the variance.
        momentum: decay of the running moments; PyTorch's ``momentum`` is 1 minus it.
        padding: of the convolutions; by default equal on both sides, as in PyTorch.
    """

    train: bool
    kernel_init: nn.initializers.Initializer
    axis_name: str | None = None
    dtype: DTypeLike | None = None
    epsilon: float = 1e-5
    momentum: float = 0.9
    padding: str | None = None

    def __call__(
        self,
        x: jax.Array,
        width: int,
        size: Sizes,
        stride: Sizes = 1,
        *,
        groups: int = 1,
        activation: Activation | None = None,
        add: jax.Array | None = None,
        use_bias: bool = False,
        name: str | None = None,
    ) -> jax.Array:
        """``activation(norm(conv(x)) + add)``.

        Args:
            x: ``(batch, *spatial, channels)``.
            width: output channels.
            size: taps of the kernel, odd, for all axes or for each.
            stride: positions from one window to the next, for all axes or for each.
            groups: number of channel groups, which do not mix.
            activation: such as ``nn.relu``; ``None`` is the identity.
            add: an array like the result, such as a shortcut around a block.
            use_bias: whether the convolution has a bias, which normalization cancels.
            name: the layers are ``NAME_conv`` and ``NAME_norm``; automatic by default.
        """
        conv = self.conv(
            width,
            _per_axis(size, x.ndim - 2),
            stride,
            groups=groups,
            use_bias=use_bias,
            name=name and f"{name}_conv",
        )
        return self.norm(conv(x), activation, add=add, name=name and f"{name}_norm")

    def conv(
        self,
        width: int,
        size: Sequence[int],
        stride: Sizes = 1,
        *,
        groups: int = 1,
        use_bias: bool = False,
        name: str | None = None,
    ) -> nn.Conv:
        """The convolution alone; the arguments are those of ``__call__``."""
        return nn.Conv(
            width,
            tuple(size),
            _per_axis(stride, len(size)),
            padding=self.padding or [n // 2 for n in size],
            feature_group_count=groups,
            use_bias=use_bias,
            dtype=self.dtype,
            kernel_init=self.kernel_init,
            name=name,
        )

    def norm(
        self,
        x: jax.Array,
        activation: Activation | None = None,
        *,
        add: jax.Array | None = None,
        name: str | None = None,
    ) -> jax.Array:
        """``activation(norm(x) + add)``, in one operation for ReLU and ReLU6."""
        layer = nn.BatchNorm(
            not self.train,
            momentum=self.momentum,
            epsilon=self.epsilon,
            dtype=self.dtype,
            axis_name=self.axis_name,
            name=name,
        )
        if activation is nn.relu or activation is nn.relu6:
            largest = 6 if activation is nn.relu6 else None
            return layer.and_relu(x, add=add, largest=largest)
        y = layer(x) if add is None else layer(x) + add
        return y if activation is None else activation(y)


def _per_axis(value: Sizes, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)
