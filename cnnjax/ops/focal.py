"""Focal losses, which give less weight to examples that are already right.

With logits z, probabilities p, targets t and the focusing parameter g (gamma; Lin et
al. 2017, arXiv:1708.02002)::

    softmax   L = sum_c t_c f(p_c)          f(p) = -(1 - p)^g log p
              dL/dz_k = t_k h(p_k) - p_k sum_c t_c h(p_c)
              h(p) = p f'(p) = (1 - p)^g (g p log(p) / (1 - p) - 1)

    sigmoid   L = a m^g H,  m = p + t - 2 p t,  H = -t log p - (1 - t) log(1 - p)
              dL/dz = a m^g (p - t + g H p (1 - p) (1 - 2 t) / m)

where m is the distance of the prediction from the target and a weighs positive against
negative targets. With g = 0 these are the cross-entropies.
"""

import jax
import jax.numpy as jnp

from cnnjax.ops.activation import log_softmax, sigmoid
from cnnjax.ops.gradient import custom_vjp, vary_alike
from cnnjax.ops.loss import as_targets, check_logits, check_same_shape, entropy


def softmax_focal_loss(
    logits: jax.Array,
    labels: jax.Array,
    *,
    gamma: float = 2.0,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
) -> jax.Array:
    """Focal loss of a softmax, one value per example.

    Args:
        logits: ``(..., classes)``.
        labels: class numbers ``(...)`` or a weight per class ``(..., classes)``, as for
            ``softmax_cross_entropy``.
        gamma: 0 or more; the larger, the less the easy examples count.
        label_smoothing: as for ``softmax_cross_entropy``.
        ignore_index: as for ``softmax_cross_entropy``.

    Returns:
        ``(...)`` with the dtype of the logits, in nats.

    Raises:
        ValueError: incompatible shapes or dtypes, or a negative ``gamma``.
    """
    _check_gamma(gamma)
    targets = as_targets(logits, labels, label_smoothing, ignore_index)
    return _softmax_focal(*vary_alike(jnp.asarray(logits), targets), float(gamma))


@custom_vjp("gamma")
def _softmax_focal(logits, targets, gamma):
    logs = log_softmax(logits)
    # A class with weight 0 contributes nothing, even if its logit is -inf.
    terms = jnp.where((targets != 0) | (logs > -jnp.inf), _focal(logs, gamma), 0)
    return jnp.sum(targets * terms, axis=-1)


def _focal(logs, gamma):
    """f(p), from log p."""
    return -_power(-jnp.expm1(logs), gamma) * logs


def _softmax_focal_fwd(logits, targets, gamma):
    return _softmax_focal(logits, targets, gamma), (logits, targets)


def _softmax_focal_bwd(gamma, residuals, dloss):
    logits, targets = residuals
    logs = log_softmax(logits)
    p, rest = jnp.exp(logs), -jnp.expm1(logs)  # p and 1 - p
    ratio = jnp.where(rest > 0, logs / jnp.where(rest > 0, rest, 1), -1)
    ratio = jnp.where(p > 0, p * ratio, 0)  # p log(p) goes to 0 with p
    slopes = _power(rest, gamma) * (gamma * ratio - 1)  # h(p)
    total = jnp.sum(targets * slopes, axis=-1, keepdims=True)
    dlogits = targets * slopes - p * total
    return dloss[..., None] * dlogits, dloss[..., None] * _focal(logs, gamma)


_softmax_focal.defvjp(_softmax_focal_fwd, _softmax_focal_bwd)


def sigmoid_focal_loss(
    logits: jax.Array,
    labels: jax.Array,
    *,
    alpha: float | None = None,
    gamma: float = 2.0,
) -> jax.Array:
    """Focal loss of a sigmoid, one value per logit; the arguments are those of Optax.

    Args:
        logits: any shape.
        labels: the same shape; 0, 1, or a probability.
        alpha: weight of the positive targets, 0 to 1; the negative ones get ``1 -
            alpha``. By default, both count fully.
        gamma: 0 or more; the larger, the less the easy examples count.

    Returns:
        The shape and dtype of the logits, in nats.

    Raises:
        ValueError: different shapes, logits that are not floating-point, or a parameter
            out of range.
    """
    _check_gamma(gamma)
    if alpha is not None and not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}, expected 0 to 1, or None")
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    check_logits(logits)
    check_same_shape("logits", logits, labels)
    targets = labels.astype(logits.dtype)
    return _sigmoid_focal(*vary_alike(logits, targets), alpha, float(gamma))


def _stock_sigmoid_focal(logits, targets, alpha, gamma):
    p = jax.nn.sigmoid(logits)
    distance = p + targets - 2 * p * targets
    loss = jax.nn.softplus(logits) - targets * logits
    return _alpha(targets, alpha) * _power(distance, gamma) * loss


@custom_vjp("alpha", "gamma", stock=_stock_sigmoid_focal)
def _sigmoid_focal(logits, targets, alpha, gamma):
    distance = _distance(logits, targets)
    loss = entropy(logits, targets)
    return _alpha(targets, alpha) * _power(distance, gamma) * loss


def _sigmoid_focal_fwd(logits, targets, alpha, gamma):
    return _sigmoid_focal(logits, targets, alpha, gamma), (logits, targets)


def _sigmoid_focal_bwd(alpha, gamma, residuals, dloss):
    logits, targets = residuals
    p, q = sigmoid(logits), sigmoid(-logits)  # q = 1 - p, also where p is almost 1
    distance, loss = _distance(logits, targets), entropy(logits, targets)
    weight, power = _alpha(targets, alpha), _power(distance, gamma)
    safe = jnp.where(distance > 0, distance, 1)
    sign = 1 - 2 * targets
    # Towards distance 0, p (1 - p) / distance goes to 1 and the loss to 0.
    dlogits = p * (1 - targets) - q * targets  # p - t
    dlogits += gamma * loss * p * q * sign / safe
    dlogits = weight * power * dlogits
    slope = 0.0 if alpha is None else 2 * alpha - 1
    dtargets = slope * power * loss - weight * power * logits
    dtargets += weight * power * gamma * loss * (q - p) / safe
    return dloss * dlogits, dloss * dtargets


_sigmoid_focal.defvjp(_sigmoid_focal_fwd, _sigmoid_focal_bwd)


def _distance(logits, targets):
    """p (1 - t) + (1 - p) t, without the cancellation of p + t - 2 p t."""
    return sigmoid(logits) * (1 - targets) + sigmoid(-logits) * targets


def _alpha(targets, alpha):
    return 1.0 if alpha is None else alpha * targets + (1 - alpha) * (1 - targets)


def _power(x, exponent):
    """x to the exponent, where 0 to the power 0 is 1."""
    return jnp.ones_like(x) if exponent == 0 else x**exponent


def _check_gamma(gamma):
    if not gamma >= 0:
        raise ValueError(f"gamma is {gamma}, expected 0 or more")
