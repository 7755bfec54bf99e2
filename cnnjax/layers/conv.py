"""The convolution layer: flax.linen's parameters around ``cnnjax.ops.conv``."""

import jax
from flax import linen as nn

from cnnjax import ops
from cnnjax.layers.parameters import kernel_and_bias


class Conv(nn.Conv):
    """A convolution with the constructor and parameter tree of ``flax.linen.Conv``.

    Its values and gradients are those of Flax's layer; the gradients are the
    hand-written ones of ``cnnjax.ops.conv``. A convolution of the user's own, given by
    Flax's hooks ``conv_general_dilated`` and ``conv_general_dilated_cls``, is called as
    Flax does. ``Conv(...).and_relu(x)`` is the same layer with ReLU after it, in one
    operation.
    """

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Convolves ``inputs``.

        Args:
            inputs: ``(*batch, *spatial, channels)`` with any number of batch axes.

        Returns:
            ``(*batch, *positions, features)``.

        Raises:
            ValueError: sizes that do not go together.
        """
        return self._convolve(inputs, relu=False)

    def and_relu(self, inputs: jax.Array) -> jax.Array:
        """``relu(self(inputs))``.

        Args:
            inputs: as for the layer itself.
        """
        return self._convolve(inputs, relu=True)

    @nn.compact
    def _convolve(self, inputs, relu):
        if self.conv_general_dilated or self.conv_general_dilated_cls:
            y = super().__call__(inputs)
            return ops.relu(y) if relu else y
        size = self.kernel_size
        taps = (size,) if isinstance(size, int) else tuple(size)
        kernel, bias = self._parameters(taps, inputs.shape[-1])
        x, kernel, bias = self.promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        assert x is not None and kernel is not None
        batch = inputs.shape[: inputs.ndim - len(taps) - 1]
        y = ops.conv(
            x.reshape(-1, *inputs.shape[len(batch) :]),
            kernel,
            bias,
            strides=self.strides,
            padding=self.padding,
            dilation=self.kernel_dilation,
            input_dilation=self.input_dilation,
            groups=self.feature_group_count,
            relu=relu,
            precision=self.precision,
        )
        return y.reshape(*batch, *y.shape[1:])

    def _parameters(self, taps, inputs):
        groups = self.feature_group_count
        if inputs % groups:
            raise ValueError(
                f"feature_group_count is {groups}, expected a divisor of the {inputs}"
                " input channels"
            )
        return kernel_and_bias(self, (*taps, inputs // groups, self.features))
