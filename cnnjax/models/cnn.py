"""Plain convolutional networks for signals, images and volumes."""

from collections.abc import Sequence

import jax
from jax.typing import DTypeLike

from cnnjax import layers as nn
from cnnjax.models.head import logits
from cnnjax.models.initializers import make_initializer


class SimpleCNN(nn.Module):
    """Stages of convolution, ReLU and max-pooling by 2, one per width, and a head.

    The head is one dense layer with ReLU and dropout per size in ``dense``, and a dense
    layer with one output per class. The rank of the input selects 1-D, 2-D or 3-D.

    Attributes:
        num_classes: number of outputs; 0 gives the features before the last layer.
        widths: channels of each stage.
        dense: sizes of the hidden dense layers.
        kernel_size: taps of each convolution on every axis.
        dropout: the fraction of hidden dense values dropped in training.
        kernel_init: the name of the weights' initializer (see ``INITIALIZERS``).
        batch_norm: whether to put batch normalization between convolution and ReLU.
        axis_name: axis of the devices over which it computes its moments; default: each
            device computes its own.
        dtype: dtype of all layers except the last; default: that of weights and images.
    """

    num_classes: int
    widths: Sequence[int] = (32, 64)
    dense: Sequence[int] = (256,)
    kernel_size: int = 3
    dropout: float = 0.0
    kernel_init: str = "he_normal"
    batch_norm: bool = False
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps ``(batch, *spatial, channels)`` to logits ``(batch, num_classes)``."""
        rank = x.ndim - 2
        init = make_initializer(self.kernel_init)
        for width in self.widths:
            x = nn.Conv(
                width,
                (self.kernel_size,) * rank,
                # Batch normalization would cancel a bias.
                use_bias=not self.batch_norm,
                dtype=self.dtype,
                kernel_init=init,
            )(x)
            if self.batch_norm:
                norm = nn.BatchNorm(
                    not train, dtype=self.dtype, axis_name=self.axis_name
                )
                x = nn.max_pool(norm.and_relu(x), (2,) * rank, (2,) * rank)
            else:
                # ReLU and maximum commute; after pooling, ReLU has fewer values.
                x = nn.relu(nn.max_pool(x, (2,) * rank, (2,) * rank))
        x = x.reshape(x.shape[0], -1)
        for size in self.dense:
            x = nn.relu(nn.Dense(size, dtype=self.dtype, kernel_init=init)(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return logits(x, self.num_classes, init)


class SmallCNN(SimpleCNN):
    """Two convolutions and two dense layers; 94,354 parameters on Fashion-MNIST."""

    dense: Sequence[int] = (24,)
