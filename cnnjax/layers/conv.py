"""The convolution layer: flax.linen's parameters around ``cnnjax.ops.conv``."""

import jax
from flax import linen as nn

from cnnjax import ops
from cnnjax.layers.parameters import call_of_flax, is_complex, kernel_and_bias


class Conv(nn.Conv):
    """A convolution with the constructor and parameter tree of ``flax.linen.Conv``.

    Its values and gradients are those of Flax's layer; the gradients are the
    hand-written ones of ``cnnjax.ops.conv``. Flax's own code handles complex numbers,
    and the user's own convolutions, given by its hooks ``conv_general_dilated`` and
    ``conv_general_dilated_cls``. ``Conv(...).and_relu(x)`` is the same layer with ReLU
    after it, in one operation.
    """

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Convolves ``inputs``.

        Args:
            inputs: ``(*batch, *spatial, channels)`` with any number of batch axes.

        Returns:
            ``(*batch, *positions, features)``.

        Raises:
            ValueError: sizes that do not go together.
        """
        return _convolve(self, inputs, relu=False)

    @nn.compact
    def and_relu(self, inputs: jax.Array) -> jax.Array:
        """``relu(self(inputs))``.

        Args:
            inputs: as for the layer itself.
        """
        return _convolve(self, inputs, relu=True)


def _convolve(layer, inputs, relu):
    if (
        layer.conv_general_dilated
        or layer.conv_general_dilated_cls
        or is_complex(layer, inputs)
    ):
        y = call_of_flax(nn.Conv)(layer, inputs)
        return ops.relu(y) if relu else y
    size = layer.kernel_size
    taps = (size,) if isinstance(size, int) else tuple(size)
    channels, groups = inputs.shape[-1], layer.feature_group_count
    if channels % groups:
        raise ValueError(
            f"feature_group_count is {groups}, expected a divisor of the {channels}"
            " input channels"
        )
    kernel, bias = kernel_and_bias(layer, (*taps, channels // groups, layer.features))
    x, kernel, bias = layer.promote_dtype(inputs, kernel, bias, dtype=layer.dtype)
    batch = inputs.shape[: inputs.ndim - len(taps) - 1]
    y = ops.conv(
        x.reshape(-1, *inputs.shape[len(batch) :]),
        kernel,
        bias,
        strides=layer.strides,
        padding=layer.padding,
        dilation=layer.kernel_dilation,
        input_dilation=layer.input_dilation,
        groups=groups,
        relu=relu,
        precision=layer.precision,
    )
    return y.reshape(*batch, *y.shape[1:])
