"""LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning")."""

import jax
from jax.typing import DTypeLike

from cnnjax import layers as nn
from cnnjax.models.head import logits
from cnnjax.models.initializers import make_initializer

ACTIVATIONS = {"tanh": nn.tanh, "relu": nn.relu}


class LeNet5(nn.Module):
    """Two 5x5 convolutions with average pooling, and three dense layers.

    It has 61,706 parameters for 28x28x1 images and 10 classes. As usual today, the
    original's partial connections and radial basis output layer are left out.

    Attributes:
        num_classes: number of outputs; 0 gives the features before the last layer.
        activation: ``"tanh"`` as in the paper, or ``"relu"``.
        dropout: the fraction of hidden dense values dropped in training.
        kernel_init: the name of the weights' initializer (see ``INITIALIZERS``).
        dtype: dtype of all layers except the last; default: that of weights and images.
    """

    num_classes: int
    activation: str = "tanh"
    dropout: float = 0.0
    kernel_init: str = "lecun_normal"
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps ``(batch, height, width, channels)`` to logits ``(batch, classes)``.

        Raises:
            ValueError: an unknown activation, or images that are not 2-D.
        """
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation is {self.activation!r}, expected one of"
                f" {', '.join(ACTIVATIONS)}"
            )
        if x.ndim != 4:
            raise ValueError(
                f"LeNet-5 is for 2-D images (batch, height, width, channels), got"
                f" {x.shape}; use simple_cnn for other shapes"
            )
        act, init = ACTIVATIONS[self.activation], make_initializer(self.kernel_init)
        for width, padding in ((6, "SAME"), (16, "VALID")):
            conv = nn.Conv(
                width, (5, 5), padding=padding, dtype=self.dtype, kernel_init=init
            )
            x = act(conv(x))
            x = nn.avg_pool(x, (2, 2), (2, 2))
        x = x.reshape(x.shape[0], -1)
        for size in (120, 84):
            x = act(nn.Dense(size, dtype=self.dtype, kernel_init=init)(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return logits(x, self.num_classes, init)
