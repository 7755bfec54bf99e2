"""ConvNeXt-Tiny (Liu et al. 2022, "A ConvNet for the 2020s", arXiv:2201.03545)."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from cnnjax import layers as nn
from cnnjax import ops
from cnnjax.models.head import logits, rates
from cnnjax.models.initializers import make_initializer
from cnnjax.models.stem import check_rank, check_stages, is_small

EPSILON = 1e-6
FIRST_SCALE = 1e-6


class ConvNeXtBlock(nn.Module):
    """A 7x7 depthwise convolution, two dense layers at each position, and a shortcut.

    Attributes:
        kernel_init: initializer of the convolution and the dense layers.
        train: whether stochastic depth is active.
        drop: its rate.
        dtype: dtype of the result.
    """

    kernel_init: nn.initializers.Initializer
    train: bool
    drop: float = 0.0
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(batch, height, width, channels)`` to the same shape."""
        width, init = x.shape[-1], self.kernel_init
        y = nn.Conv(
            width,
            (7, 7),
            padding=3,
            feature_group_count=width,
            dtype=self.dtype,
            kernel_init=init,
        )(x)
        y = nn.LayerNorm(epsilon=EPSILON, dtype=self.dtype)(y)
        y = nn.Dense(4 * width, dtype=self.dtype, kernel_init=init)(y)
        y = nn.gelu(y, approximate=False)
        y = nn.Dense(width, dtype=self.dtype, kernel_init=init)(y)
        first = nn.initializers.constant(FIRST_SCALE)
        scale = self.param("layer_scale", first, (width,), jnp.float32)
        y = ops.scale(y, scale.astype(y.dtype))
        return x + nn.StochasticDepth(self.drop, not self.train)(y)


class ConvNeXt(nn.Module):
    """Stages of blocks, with a 2x2 convolution of stride 2 between stages.

    Attributes:
        num_classes: number of outputs; 0 gives the pooled, normalized features.
        blocks: number of blocks in each stage.
        widths: channels of each stage.
        stem: ``"imagenet"``, a 4x4 convolution that shrinks images by 4; or
            ``"cifar"``, a 1x1 convolution that keeps their size.
        dropout: the fraction of values before the last layer dropped in training.
        stochastic_depth: the rate at which the last block is dropped in training; those
            before it are dropped less.
        remat: whether to save memory: keep only the input of each block, and compute
            the rest again in the backward pass.
        kernel_init: the name of the weights' initializer (see ``INITIALIZERS``).
        dtype: dtype of all layers except the last; default: that of weights and images.
    """

    num_classes: int
    blocks: Sequence[int] = (3, 3, 9, 3)
    widths: Sequence[int] = (96, 192, 384, 768)
    stem: str = "imagenet"
    dropout: float = 0.0
    stochastic_depth: float = 0.1
    remat: bool = False
    kernel_init: str = "truncated_normal"
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps ``(batch, height, width, channels)`` to logits ``(batch, classes)``.

        Raises:
            ValueError: an unknown stem, ``blocks`` and ``widths`` of different lengths,
                or images that are not 2-D.
        """
        check_rank(x)
        check_stages(self.blocks, self.widths)
        init = make_initializer(self.kernel_init)
        block: Any = nn.remat(ConvNeXtBlock) if self.remat else ConvNeXtBlock
        drops = rates(self.stochastic_depth, sum(self.blocks))
        number = 0
        for stage, (count, width) in enumerate(
            zip(self.blocks, self.widths, strict=True)
        ):
            x = self._shrink(x, width, stage, init)
            for _ in range(count):
                # The automatic name, which would differ with remat.
                name = f"ConvNeXtBlock_{number}"
                x = block(init, train, drops[number], self.dtype, name=name)(x)
                number += 1
        x = nn.LayerNorm(epsilon=EPSILON, dtype=self.dtype)(ops.global_avg_pool(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return logits(x, self.num_classes, init)

    def _shrink(self, x, width, stage, init):
        """The stem, or the downsampling between two stages."""
        size = 2 if stage else 1 if is_small(self.stem) else 4
        conv = nn.Conv(
            width,
            (size, size),
            (size, size),
            padding="VALID",
            dtype=self.dtype,
            kernel_init=init,
        )
        norm = nn.LayerNorm(epsilon=EPSILON, dtype=self.dtype)
        return conv(norm(x)) if stage else norm(conv(x))


class ConvNeXtTiny(ConvNeXt):
    """28,589,128 parameters with 1000 classes."""
