"""Losses of regression.

With the error e = prediction - target::

squared error   L = e^2                              dL/de = 2 e
Huber           L = e^2 / 2          where |e| <= d    dL/de = e
L = d (|e| - d / 2)  elsewhere         dL/de = d sign(e)
"""

import jax
import jax.numpy as jnp

from cnnjax.ops.gradient import custom_vjp, vary_alike
from cnnjax.ops.loss import check_logits, check_same_shape


def squared_error(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """The squared error of each prediction.

    Args:
        predictions: any shape.
        targets: the same shape.

    Returns:
        The shape and dtype of the predictions.

    Raises:
        ValueError: different shapes, or predictions that are not floating-point.
    """
    return _squared_error(*_as_alike(predictions, targets))


@custom_vjp()
def _squared_error(predictions, targets):
    return jnp.square(predictions - targets)


def _squared_error_fwd(predictions, targets):
    error = predictions - targets
    return jnp.square(error), error


def _squared_error_bwd(error, dloss):
    slope = 2 * dloss * error
    return slope, -slope


_squared_error.defvjp(_squared_error_fwd, _squared_error_bwd)


def huber_loss(
    predictions: jax.Array, targets: jax.Array, *, delta: float = 1.0
) -> jax.Array:
    """The Huber loss of each prediction: quadratic near 0, linear beyond (Huber 1964).

    Args:
        predictions: any shape.
        targets: the same shape.
        delta: above 0; the error from which the loss is linear.

    Returns:
        The shape and dtype of the predictions.

    Raises:
        ValueError: different shapes, predictions that are not floating-point, or a
            ``delta`` that is not positive.
    """
    if not delta > 0:
        raise ValueError(f"delta is {delta}, expected a number above 0")
    return _huber(*_as_alike(predictions, targets), float(delta))


@custom_vjp("delta")
def _huber(predictions, targets, delta):
    size = jnp.abs(predictions - targets)
    near = jnp.minimum(size, delta)
    return near * (size - 0.5 * near)


def _huber_fwd(predictions, targets, delta):
    return _huber(predictions, targets, delta), predictions - targets


def _huber_bwd(delta, error, dloss):
    slope = dloss * jnp.clip(error, -delta, delta)
    return slope, -slope


_huber.defvjp(_huber_fwd, _huber_bwd)


def _as_alike(predictions, targets):
    predictions, targets = jnp.asarray(predictions), jnp.asarray(targets)
    check_logits(predictions, "predictions")
    check_same_shape("predictions", predictions, targets, "targets")
    return vary_alike(predictions, targets.astype(predictions.dtype))
