"""The dense layer: flax.linen's parameters around ``cnnjax.ops.dense``."""

import jax
from flax import linen as nn

from cnnjax import ops
from cnnjax.layers.parameters import call_of_flax, is_complex, kernel_and_bias


class Dense(nn.Dense):
    """A linear map with the constructor and parameter tree of ``flax.linen.Dense``.

    Flax's own code handles complex numbers, and custom products given through its hooks
    ``dot_general`` and ``dot_general_cls``.
    """

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Maps the last axis of ``inputs (..., in)`` to ``(..., features)``."""
        if self.dot_general or self.dot_general_cls or is_complex(self, inputs):
            return call_of_flax(nn.Dense)(self, inputs)
        kernel, bias = kernel_and_bias(self, (inputs.shape[-1], self.features))
        x, kernel, bias = self.promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        assert x is not None and kernel is not None
        return ops.dense(x, kernel, bias, precision=self.precision)
