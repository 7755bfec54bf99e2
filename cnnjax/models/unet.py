"""U-Net (Ronneberger, Fischer and Brox 2015, arXiv:1505.04597), one output per pixel.

In the form that is usual today: convolutions are padded, so that the output has the
size of the input, and batch normalization follows each of them.
"""

from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from cnnjax import layers as nn
from cnnjax.models.conv_norm import ConvNorm
from cnnjax.models.head import logits
from cnnjax.models.initializers import make_initializer


class UNet(nn.Module):
    """A path down by max-pooling and a path up by transposed convolutions.

    At each size there are two 3x3 convolutions with ReLU on either path. The path up
    sees the result of the path down at the same size, too: both are concatenated. The
    rank of the input selects 1-D, 2-D or 3-D.

    With 3 channels, 2 classes and the default options: 31,037,698 parameters.

    Attributes:
        num_classes: number of outputs of each pixel; 0 gives the features of each pixel
            before the last layer.
        widths: channels at each size, from the input's size down; the size is halved
            between two of them.
        batch_norm: whether to put batch normalization between convolution and ReLU.
        dropout: the fraction of values at the smallest size dropped in training.
        kernel_init: the name of the weights' initializer (see ``INITIALIZERS``).
        axis_name: axis of the devices over which batch normalization computes its
            moments; default: each device computes its own.
        dtype: dtype of all layers except the last; default: that of weights and images.
    """

    num_classes: int
    widths: Sequence[int] = (64, 128, 256, 512, 1024)
    batch_norm: bool = True
    dropout: float = 0.0
    kernel_init: str = "he_normal"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    per_pixel: ClassVar[bool] = True

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps ``(batch, *spatial, channels)`` to ``(batch, *spatial, num_classes)``.

        Sizes can be odd: pooling then leaves out the last pixels, and the path up fills
        in zeros.

        Raises:
            ValueError: no widths, or images that are too small for so many halvings.
        """
        self._check(x)
        init = make_initializer(self.kernel_init)
        conv_norm = ConvNorm(train, init, self.axis_name, self.dtype)
        two = (2,) * (x.ndim - 2)
        *above, smallest = self.widths
        skips = []
        for width in above:
            x = self._convolve_twice(x, width, conv_norm)
            skips.append(x)
            x = nn.max_pool(x, two, two)
        x = self._convolve_twice(x, smallest, conv_norm)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        for width, skip in zip(reversed(above), reversed(skips), strict=True):
            x = nn.ConvTranspose(
                width, two, two, "VALID", dtype=self.dtype, kernel_init=init
            )(x)
            x = jnp.concatenate([skip, _pad_to(x, skip.shape)], axis=-1)
            x = self._convolve_twice(x, width, conv_norm)
        return logits(x, self.num_classes, init)

    def _convolve_twice(self, x, width, conv_norm: ConvNorm):
        for _ in range(2):
            if self.batch_norm:
                x = conv_norm(x, width, 3, activation=nn.relu)
            else:
                taps = (3,) * (x.ndim - 2)
                x = nn.relu(conv_norm.conv(width, taps, use_bias=True)(x))
        return x

    def _check(self, x):
        if not self.widths:
            raise ValueError("widths is empty, expected the channels at each size")
        least = 2 ** (len(self.widths) - 1)
        if min(x.shape[1:-1]) < least:
            raise ValueError(
                f"x has shape {x.shape}, expected {least} or more pixels along each"
                f" spatial axis, because {len(self.widths)} widths halve the size"
                f" {len(self.widths) - 1} times; give fewer widths, such as"
                " widths=(64, 128)"
            )


def _pad_to(x, shape):
    """``x`` between zeros, with the spatial sizes of ``shape``."""
    missing = [after - now for now, after in zip(x.shape, shape, strict=True)][1:-1]
    if not any(missing):
        return x
    widths = [(n // 2, n - n // 2) for n in missing]
    return jnp.pad(x, [(0, 0), *widths, (0, 0)])
