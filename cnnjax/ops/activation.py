"""Activations and their gradients, written in terms of the output y.

* ``relu(x) = max(x, 0)``: ``dL/dx = dL/dy`` where y > 0, else 0. At x = 0 the gradient
  is 0, as in JAX, PyTorch and TensorFlow. The output is kept by the next layer anyway,
  so the input can be freed.
* ``sigmoid(x) = 1 / (1 + exp(-x))``: ``dL/dx = dL/dy y (1 - y)``.
* ``tanh(x)``: ``dL/dx = dL/dy (1 - y^2)``.
* ``softmax(x)_i = exp(x_i) / sum_j exp(x_j)``: ``dL/dx = y (dL/dy - sum_j y_j
  dL/dy_j)``.
* ``log_softmax(x) = log softmax(x)``: ``dL/dx = dL/dy - softmax(x) sum_j dL/dy_j``.
"""

import jax
import jax.numpy as jnp


@jax.custom_vjp
def relu(x: jax.Array) -> jax.Array:
    """The positive part of ``x``, of any shape."""
    return jnp.maximum(x, 0)


def _relu_fwd(x):
    y = relu(x)
    return y, y


def _relu_bwd(y, dy):
    return (jnp.where(y > 0, dy, 0),)


relu.defvjp(_relu_fwd, _relu_bwd)


@jax.custom_vjp
def sigmoid(x: jax.Array) -> jax.Array:
    """The logistic function of ``x``, of any shape."""
    return jax.lax.logistic(x)


def _sigmoid_fwd(x):
    y = sigmoid(x)
    return y, y


def _sigmoid_bwd(y, dy):
    return (dy * y * (1 - y),)


sigmoid.defvjp(_sigmoid_fwd, _sigmoid_bwd)


@jax.custom_vjp
def tanh(x: jax.Array) -> jax.Array:
    """The hyperbolic tangent of ``x``, of any shape."""
    return jnp.tanh(x)


def _tanh_fwd(x):
    y = tanh(x)
    return y, y


def _tanh_bwd(y, dy):
    return (dy * (1 - y * y),)


tanh.defvjp(_tanh_fwd, _tanh_bwd)


@jax.custom_vjp
def softmax(x: jax.Array) -> jax.Array:
    """Probabilities along the last axis; shifted by the maximum, so never infinite."""
    weights = jnp.exp(x - jnp.max(x, axis=-1, keepdims=True))
    return weights / jnp.sum(weights, axis=-1, keepdims=True)


def _softmax_fwd(x):
    y = softmax(x)
    return y, y


def _softmax_bwd(y, dy):
    return (y * (dy - jnp.sum(y * dy, axis=-1, keepdims=True)),)


softmax.defvjp(_softmax_fwd, _softmax_bwd)


@jax.custom_vjp
def log_softmax(x: jax.Array) -> jax.Array:
    """Logarithms of the probabilities along the last axis."""
    x = x - jnp.max(x, axis=-1, keepdims=True)
    return x - jnp.log(jnp.sum(jnp.exp(x), axis=-1, keepdims=True))


def _log_softmax_fwd(x):
    y = log_softmax(x)
    return y, y


def _log_softmax_bwd(y, dy):
    return (dy - jnp.exp(y) * jnp.sum(dy, axis=-1, keepdims=True),)


log_softmax.defvjp(_log_softmax_fwd, _log_softmax_bwd)
