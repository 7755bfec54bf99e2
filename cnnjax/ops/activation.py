"""Activations and their gradients.

* ``relu(x) = max(x, 0)``: ``dL/dx = dL/dy`` where y > 0, else 0. At x = 0 the gradient
  is 0, as in JAX, PyTorch and TensorFlow. The residual is the output, which the next
  layer keeps anyway, so the input can be freed.
* ``relu6(x) = min(max(x, 0), 6)``: ``dL/dx = dL/dy`` where 0 < y < 6, else 0, as in
  PyTorch.
* ``sigmoid(x) = 1 / (1 + exp(-x))``: ``dL/dx = dL/dy y (1 - y)``.
* ``tanh(x)``: ``dL/dx = dL/dy (1 - y^2)``.
* ``gelu(x) = x P(x)`` with the standard normal distribution function P (Hendrycks and
  Gimpel 2016): ``dL/dx = dL/dy (P(x) + x p(x))`` with its density p. An approximation
  is ``x (1 + tanh u) / 2`` with ``u = sqrt(2/pi) (x + 0.044715 x^3)``.
* ``silu(x) = x sigmoid(x)``: ``dL/dx = dL/dy s (1 + x (1 - s))``, ``s = sigmoid(x)``.
* ``hard_sigmoid(x) = relu6(x + 3) / 6``: ``dL/dx = dL/dy / 6`` where 0 < y < 1, else 0.
* ``hard_swish(x) = x h``, ``h = hard_sigmoid(x)``: ``dL/dx = dL/dy (h + x h')``.
* ``softmax(x)_i = exp(x_i) / sum_j exp(x_j)``: ``dL/dx = y (dL/dy - sum_j y_j
  dL/dy_j)``.
* ``log_softmax(x) = log softmax(x)``: ``dL/dx = dL/dy - softmax(x) sum_j dL/dy_j``.

JAX's functions of the same names handle integers and complex numbers.
"""

import math

import jax
import jax.numpy as jnp

from cnnjax.ops import choice
from cnnjax.ops.gradient import custom_vjp


@custom_vjp(stock=jax.nn.relu, real=True)
def relu(x: jax.Array) -> jax.Array:
    """The positive part of ``x``, of any shape."""
    return jnp.maximum(x, 0)


def _relu_fwd(x):
    y = relu(x)
    return y, y


def _relu_bwd(y, dy):
    return (jnp.where(y > 0, dy, jnp.zeros_like(dy)),)


relu.defvjp(_relu_fwd, _relu_bwd)


def _stock_capped(x, largest):
    return jax.nn.relu6(x) if largest == 6 else jnp.clip(x, 0, largest)


@custom_vjp("largest", stock=_stock_capped, real=True)
def capped_relu(x: jax.Array, largest: float) -> jax.Array:
    """``x`` between 0 and ``largest``, of any shape."""
    return _clamp(x, largest)


def _clamp(x, largest):
    # On a CPU, bfloat16 is rounded once here, and twice by the two steps of jnp.clip.
    return jax.lax.clamp(jnp.zeros((), x.dtype), x, jnp.asarray(largest, x.dtype))


def _capped_fwd(x, largest):
    y = capped_relu(x, largest)
    return y, y


def _capped_bwd(largest, y, dy):
    return (jnp.where((y > 0) & (y < largest), dy, 0),)


capped_relu.defvjp(_capped_fwd, _capped_bwd)


def relu6(x: jax.Array) -> jax.Array:
    """``x`` between 0 and 6, of any shape (Howard et al. 2017, MobileNets)."""
    return capped_relu(x, 6.0)


@custom_vjp(stock=jax.nn.sigmoid, real=True)
def sigmoid(x: jax.Array) -> jax.Array:
    """The logistic function of ``x``, of any shape."""
    return jax.lax.logistic(x)


def _sigmoid_fwd(x):
    y = sigmoid(x)
    return y, y


def _sigmoid_bwd(y, dy):
    return (dy * y * (1 - y),)


sigmoid.defvjp(_sigmoid_fwd, _sigmoid_bwd)


@custom_vjp(stock=jnp.tanh, real=True)
def tanh(x: jax.Array) -> jax.Array:
    """The hyperbolic tangent of ``x``, of any shape."""
    return jnp.tanh(x)


def _tanh_fwd(x):
    y = tanh(x)
    return y, y


def _tanh_bwd(y, dy):
    return (dy * (1 - y * y),)


tanh.defvjp(_tanh_fwd, _tanh_bwd)


@custom_vjp(stock=jax.nn.silu, real=True)
def silu(x: jax.Array) -> jax.Array:
    """The sigmoid linear unit of ``x``, also called swish, of any shape."""
    return x * sigmoid(x)


def _silu_fwd(x):
    return silu(x), x


def _silu_bwd(x, dy):
    s = sigmoid(x)
    return (dy * (s * (1 + x * (1 - s))),)


silu.defvjp(_silu_fwd, _silu_bwd)


@custom_vjp(stock=jax.nn.hard_sigmoid, real=True)
def hard_sigmoid(x: jax.Array) -> jax.Array:
    """A piecewise linear sigmoid of an array: 0 up to -3, and 1 from 3 on.

    Courbariaux, Bengio and David 2015 (arXiv:1511.00363), with the slope 1/6 of Howard
    et al. 2019 (arXiv:1905.02244).
    """
    return _clamp(x + 3, 6) / 6


def _hard_sigmoid_fwd(x):
    y = hard_sigmoid(x)
    return y, y


def _hard_sigmoid_bwd(y, dy):
    return (jnp.where((y > 0) & (y < 1), dy / 6, 0),)


hard_sigmoid.defvjp(_hard_sigmoid_fwd, _hard_sigmoid_bwd)


@custom_vjp(stock=jax.nn.hard_swish, real=True)
def hard_swish(x: jax.Array) -> jax.Array:
    """``x`` times its ``hard_sigmoid``, of any shape (Howard et al. 2019)."""
    return x * hard_sigmoid(x)


def _hard_swish_fwd(x):
    return hard_swish(x), x


def _hard_swish_bwd(x, dy):
    h = hard_sigmoid(x)
    return (dy * (h + jnp.where((h > 0) & (h < 1), x / 6, 0)),)


hard_swish.defvjp(_hard_swish_fwd, _hard_swish_bwd)


def gelu(x: jax.Array, approximate: bool = True) -> jax.Array:
    """The Gaussian error linear unit of ``x``, of any shape.

    Args:
        x: any shape.
        approximate: whether to use the formula with tanh, the default of JAX and Flax;
            ``False`` uses the error function, the default of PyTorch.
    """
    return _gelu(x, approximate)


@custom_vjp("approximate", stock=jax.nn.gelu, real=True)
def _gelu(x, approximate):
    if approximate:
        return x * (0.5 * (1 + tanh(_gelu_argument(x))))
    return x * (0.5 * jax.lax.erfc(-x * math.sqrt(0.5)))


def _gelu_argument(x):
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)


def _gelu_fwd(x, approximate):
    # Without this, a TPU keeps the error function and more in memory, beside x and y.
    x = choice.barrier_on("tpu", x)
    return _gelu(x, approximate), x


def _gelu_bwd(approximate, x, dy):
    half = 0.5 * dy
    if approximate:
        t = tanh(_gelu_argument(x))
        # Where x * x overflows, 1 - t * t is 0, so it must be multiplied first.
        bump = (1 - t * t) * x
        slope = bump + 3 * 0.044715 * (bump * x * x)
        return (half * (1 + t) + half * (math.sqrt(2 / math.pi) * slope),)
    z = -x * math.sqrt(0.5)
    # The same exp is part of erfc(z), so XLA computes it once.
    twice_the_density = jnp.exp(-(z * z)) * math.sqrt(2 / math.pi)
    return (half * jax.lax.erfc(z) + half * (x * twice_the_density),)


_gelu.defvjp(_gelu_fwd, _gelu_bwd)


@custom_vjp(stock=jax.nn.softmax, real=True)
def softmax(x: jax.Array) -> jax.Array:
    """Probabilities along the last axis, shifted by the maximum to avoid overflow."""
    weights = jnp.exp(x - jnp.max(x, axis=-1, keepdims=True))
    return weights / jnp.sum(weights, axis=-1, keepdims=True)


def _softmax_fwd(x):
    y = softmax(x)
    return y, y


def _softmax_bwd(y, dy):
    return (y * (dy - jnp.sum(y * dy, axis=-1, keepdims=True)),)


softmax.defvjp(_softmax_fwd, _softmax_bwd)


@custom_vjp(stock=jax.nn.log_softmax, real=True)
def log_softmax(x: jax.Array) -> jax.Array:
    """Log-probabilities along the last axis."""
    x = x - jnp.max(x, axis=-1, keepdims=True)
    return x - jnp.log(jnp.sum(jnp.exp(x), axis=-1, keepdims=True))


def _log_softmax_fwd(x):
    y = log_softmax(x)
    return y, y


def _log_softmax_bwd(y, dy):
    return (dy - jnp.exp(y) * jnp.sum(dy, axis=-1, keepdims=True),)


log_softmax.defvjp(_log_softmax_fwd, _log_softmax_bwd)
