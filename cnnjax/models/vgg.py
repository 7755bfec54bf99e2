"""VGG-11 (Simonyan and Zisserman 2014, arXiv:1409.1556, configuration A)."""

import jax
from jax.typing import DTypeLike

from cnnjax import layers as nn
from cnnjax import ops
from cnnjax.models.initializers import make_initializer
from cnnjax.models.norm_relu import Norm, norm_relu

STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))


class VGG11(nn.Module):
    """Eight 3x3 convolutions in five stages, each followed by max-pooling by 2.

    The paper's three dense layers, which have 123 of its 133 million parameters, are
    replaced by global average pooling and one dense layer, so that images of any size
    from 32x32 up work. The convolutions have 9,220,480 parameters.

    Attributes:
        num_classes: number of outputs.
        batch_norm: whether to put batch normalization, instead of a bias, between
            convolution and ReLU.
        dropout: the fraction of pooled values dropped in training.
        kernel_init: the name of the weights' initializer (see ``INITIALIZERS``).
        axis_name: axis of the devices over which batch normalization computes its
            moments; default: each device computes its own.
        dtype: dtype of all layers except the last; default: that of weights and images.
    """

    num_classes: int
    batch_norm: bool = False
    dropout: float = 0.0
    kernel_init: str = "he_normal"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps ``(batch, height, width, channels)`` to logits ``(batch, classes)``.

        Raises:
            ValueError: images that are not 2-D or smaller than 32x32.
        """
        known = [size for size in x.shape[1:3] if isinstance(size, int)]
        if x.ndim != 4 or min(known, default=32) < 2 ** len(STAGES):
            raise ValueError(
                f"x has shape {x.shape}, expected 2-D images of 4 axes, 32x32 or larger"
            )
        init = make_initializer(self.kernel_init)
        for widths in STAGES:
            for width in widths:
                x = self._conv(x, width, train, init)
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.Dropout(self.dropout, deterministic=not train)(ops.global_avg_pool(x))
        return nn.Dense(self.num_classes, kernel_init=init)(x)

    def _conv(self, x, width, train, init):
        conv = nn.Conv(
            width,
            (3, 3),
            padding=1,
            use_bias=not self.batch_norm,
            dtype=self.dtype,
            kernel_init=init,
        )
        if not self.batch_norm:
            return conv.and_relu(x)
        return norm_relu(conv(x), Norm(train, self.axis_name, self.dtype))
