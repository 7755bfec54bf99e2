"""The transposed convolution layer around ``cnnjax.ops.conv_transpose``."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnnjax import ops
from cnnjax.layers.parameters import call_of_flax, is_complex, kernel_and_bias
from cnnjax.ops.bias import add_bias
from cnnjax.ops.gradient import vary_alike
from cnnjax.ops.padding import fold_image, per_axis


class ConvTranspose(nn.ConvTranspose):
    """A transposed convolution with Flax's constructor and parameter tree.

    Flax's own code handles complex numbers and layers with a
    ``preferred_element_type``.
    """

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Convolves ``inputs``, spread by the strides.

        Args:
            inputs: ``(*batch, *spatial, channels)`` with any number of batch axes.

        Returns:
            ``(*batch, *positions, features)``.

        Raises:
            ValueError: sizes that do not go together.
        """
        if self.preferred_element_type is not None or is_complex(self, inputs):
            return call_of_flax(nn.ConvTranspose)(self, inputs)
        size = self.kernel_size
        taps = (size,) if isinstance(size, int) else tuple(size)
        channels = (inputs.shape[-1], self.features)
        channels = channels[::-1] if self.transpose_kernel else channels
        kernel, bias = kernel_and_bias(self, (*taps, *channels))
        x, kernel, bias = self.promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        assert x is not None and kernel is not None
        batch = inputs.shape[: inputs.ndim - len(taps) - 1]
        circular = self.padding == "CIRCULAR"
        y = ops.conv_transpose(
            x.reshape(-1, *inputs.shape[len(batch) :]),
            kernel,
            strides=self.strides,
            padding="VALID" if circular else self.padding,
            dilation=self.kernel_dilation,
            transpose_kernel=self.transpose_kernel,
            precision=self.precision,
        )
        if circular:
            y = _wrap(self, y, inputs.shape[len(batch) : -1])
        y = y if bias is None else add_bias(*vary_alike(y, bias))
        return y.reshape(*batch, *y.shape[1:])


def _wrap(layer, y, sizes):
    """Adds what extends over an edge to the opposite side, as on a ring.

    The ring of each axis has ``stride * size`` positions. Zeros around y make it an
    odd number of rings long, the middle of y in the middle of one; an odd number of
    zeros puts one more on the side that Flax chose for even kernels.
    """
    steps = per_axis(layer.strides, len(sizes), "strides")
    around, rings = [], []
    for length, size, step in zip(y.shape[1:-1], sizes, steps, strict=True):
        ring = size * step
        missing = -(length - ring) % (2 * ring)
        pair = (missing // 2, missing - missing // 2)
        around.append(pair if layer.transpose_kernel else pair[::-1])
        rings.append((0, length + missing - ring))
    y = jnp.pad(y, ((0, 0), *around, (0, 0)))
    return fold_image(y, tuple(rings), "wrap")
