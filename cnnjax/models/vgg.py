"""VGG (Simonyan and Zisserman 2014, arXiv:1409.1556), configurations A, B, D and E."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from cnnjax import layers as nn
from cnnjax import ops
from cnnjax.models.conv_norm import ConvNorm
from cnnjax.models.head import logits
from cnnjax.models.initializers import make_initializer

STAGES = 5
FINAL_SIZE = 7
"""Height and width of what the paper's dense layers take."""


class VGG(nn.Module):
    """Stages of 3x3 convolutions, each followed by max-pooling by 2, and dense layers.

    Attributes:
        num_classes: number of outputs; 0 gives the features before the last layer.
        blocks: number of convolutions in each stage.
        widths: channels of each stage.
        dense: sizes of the hidden dense layers. They take 7x7 means of the last stage,
            as in torchvision. With ``()``, global average pooling takes their place.
        batch_norm: whether to put batch normalization between convolution and ReLU.
        normalized_bias: whether convolutions have a bias although batch normalization
            cancels it, as in the published weights.
        dropout: the fraction of values dropped in training: of each hidden dense layer,
            or of the pooled ones.
        kernel_init: the name of the weights' initializer (see ``INITIALIZERS``).
        axis_name: axis of the devices over which batch normalization computes its
            moments; default: each device computes its own.
        dtype: dtype of all layers except the last; default: that of weights and images.
    """

    num_classes: int
    blocks: Sequence[int] = (1, 1, 2, 2, 2)
    widths: Sequence[int] = (64, 128, 256, 512, 512)
    dense: Sequence[int] = (4096, 4096)
    batch_norm: bool = False
    normalized_bias: bool = True
    dropout: float = 0.5
    kernel_init: str = "he_normal"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps ``(batch, height, width, channels)`` to logits ``(batch, classes)``.

        Raises:
            ValueError: ``blocks`` or ``widths`` of another length than 5, or images
                that are not 2-D or smaller than 32x32.
        """
        if not len(self.blocks) == len(self.widths) == STAGES:
            raise ValueError(
                f"blocks is {self.blocks} and widths is {self.widths}, expected one"
                f" entry per stage in each: {STAGES}"
            )
        known = [size for size in x.shape[1:3] if isinstance(size, int)]
        if x.ndim != 4 or min(known, default=32) < 2**STAGES:
            raise ValueError(
                f"x has shape {x.shape}, expected 2-D images of 4 axes, 32x32 or larger"
            )
        init = make_initializer(self.kernel_init)
        conv_norm = ConvNorm(train, init, self.axis_name, self.dtype)
        for count, width in zip(self.blocks, self.widths, strict=True):
            for _ in range(count):
                x = self._conv(x, width, conv_norm)
            x = nn.max_pool(x, (2, 2), (2, 2))
        drop = nn.Dropout(self.dropout, deterministic=not train)
        if not self.dense:
            return logits(drop(ops.global_avg_pool(x)), self.num_classes, init)
        x = mean_parts(x, FINAL_SIZE)
        # Channels first, the order of published weights.
        x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
        for size in self.dense:
            x = drop(nn.relu(nn.Dense(size, dtype=self.dtype, kernel_init=init)(x)))
        return logits(x, self.num_classes, init)

    def _conv(self, x, width, conv_norm: ConvNorm):
        if self.batch_norm:
            bias = self.normalized_bias
            return conv_norm(x, width, 3, activation=nn.relu, use_bias=bias)
        return conv_norm.conv(width, (3, 3), use_bias=True).and_relu(x)


def mean_parts(x: jax.Array, parts: int) -> jax.Array:
    """The means of ``parts`` by ``parts`` areas of an image, as in PyTorch.

    On an axis of n pixels, part i covers the pixels from ``floor(i n / parts)`` to
    ``ceil((i + 1) n / parts)``, so parts overlap or repeat if n is not a multiple of
    ``parts``. This linear map is computed as two matrix products.

    Args:
        x: ``(batch, height, width, channels)``.
        parts: the number of parts on each axis (``AdaptiveAvgPool2d`` in PyTorch).
    """
    for axis in (1, 2):
        size = x.shape[axis]
        if size != parts:
            weights = jnp.asarray(_weights(size, parts), x.dtype)
            x = jnp.moveaxis(ops.dense(jnp.moveaxis(x, axis, -1), weights), -1, axis)
    return x


def _weights(size: int, parts: int) -> np.ndarray:
    weights = np.zeros((size, parts))
    for part in range(parts):
        first, end = part * size // parts, -(-(part + 1) * size // parts)
        weights[first:end, part] = 1 / (end - first)
    return weights


class VGG11(VGG):
    """Configuration A with global average pooling and one dense layer.

    The paper's three dense layers, which have 123 of its 133 million parameters, are
    left out, so the convolutions have 9,220,480 of 9,225,610 parameters for 10 classes.
    ``dense=(4096, 4096)`` restores them: 132,863,336 parameters with 1000 classes.
    """

    dense: Sequence[int] = ()
    normalized_bias: bool = False
    dropout: float = 0.0


class VGG13(VGG):
    """Configuration B; 133,047,848 parameters with 1000 classes."""

    blocks: Sequence[int] = (2, 2, 2, 2, 2)


class VGG16(VGG):
    """Configuration D; 138,357,544 parameters with 1000 classes."""

    blocks: Sequence[int] = (2, 2, 3, 3, 3)


class VGG19(VGG):
    """Configuration E; 143,667,240 parameters with 1000 classes."""

    blocks: Sequence[int] = (2, 2, 4, 4, 4)


class VGG11BatchNorm(VGG):
    """The paper's configuration A with normalization; 132,868,840 parameters."""

    batch_norm: bool = True


class VGG13BatchNorm(VGG13):
    """Configuration B with normalization; 133,053,736 parameters."""

    batch_norm: bool = True


class VGG16BatchNorm(VGG16):
    """Configuration D with normalization; 138,365,992 parameters."""

    batch_norm: bool = True


class VGG19BatchNorm(VGG19):
    """Configuration E with normalization; 143,678,248 parameters."""

    batch_norm: bool = True
