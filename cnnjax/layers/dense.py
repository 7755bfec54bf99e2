"""The dense layer: flax.linen's parameters around ``cnnjax.ops.dense``."""

import jax
from flax import linen as nn

from cnnjax import ops


class Dense(nn.Dense):
    """A linear map with the constructor and parameter tree of ``flax.linen.Dense``.

    A product of the user's own, given by Flax's hooks ``dot_general`` and
    ``dot_general_cls``, is called as Flax does.
    """

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Maps the last axis of ``inputs (..., in)`` to ``(..., features)``."""
        if self.dot_general or self.dot_general_cls:
            return super().__call__(inputs)
        shape = (inputs.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, shape[1:], self.param_dtype)
        x, kernel, bias = self.promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        assert x is not None and kernel is not None
        return ops.dense(x, kernel, bias, precision=self.precision)
