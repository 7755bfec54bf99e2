"""ResNet-9 (Page 2018, "How to train your ResNet"), a fast network for small images."""

import jax
from jax.typing import DTypeLike

from cnnjax import layers as nn
from cnnjax.models.conv_norm import ConvNorm
from cnnjax.models.initializers import make_initializer
from cnnjax.models.stem import check_rank

SMALLEST = 8  # height and width that can be halved three times
LOGIT_SCALE = 0.125


class ResNet9(nn.Module):
    """Eight 3x3 convolutions, two shortcuts, max-pooling and a dense layer.

    6,573,120 parameters with 10 classes: the dense layer has no bias, and its outputs
    are multiplied by 1/8.

    Attributes:
        num_classes: number of outputs; 0 gives the pooled features.
        kernel_init: the name of the weights' initializer (see ``INITIALIZERS``).
        axis_name: axis of the devices over which batch normalization computes its
            moments; default: each device computes its own.
        dtype: dtype of all layers except the last; default: that of weights and images.
    """

    num_classes: int
    kernel_init: str = "he_normal"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps ``(batch, height, width, channels)`` to logits ``(batch, classes)``.

        Raises:
            ValueError: images that are not 2-D or smaller than 8x8.
        """
        check_rank(x)
        known = [size for size in x.shape[1:3] if isinstance(size, int)]
        if min(known, default=SMALLEST) < SMALLEST:
            raise ValueError(f"x has shape {x.shape}, expected images of 8x8 or larger")
        init = make_initializer(self.kernel_init)
        conv_norm = ConvNorm(train, init, self.axis_name, self.dtype)
        x = conv_norm(x, 64, 3, activation=nn.relu)
        for width in (128, 256, 512):
            x = conv_norm(x, width, 3, activation=nn.relu)
            x = nn.max_pool(x, (2, 2), (2, 2))
            if width != 256:
                y = conv_norm(x, width, 3, activation=nn.relu)
                x = x + conv_norm(y, width, 3, activation=nn.relu)
        x = nn.max_pool(x, x.shape[1:3])
        x = x.reshape(x.shape[0], -1)
        if not self.num_classes:
            return x
        dense = nn.Dense(self.num_classes, use_bias=False, kernel_init=init)
        return LOGIT_SCALE * dense(x)
