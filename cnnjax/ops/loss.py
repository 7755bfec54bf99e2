"""Losses per example, with gradients of the form "prediction minus target".

With logits z, targets t and probabilities p::

    softmax cross-entropy   L = -sum_c t_c log p_c     dL/dz = p sum_c t_c - t
    sigmoid cross-entropy   L = -t log p - (1 - t) log(1 - p)      dL/dz = p - t

For targets that sum to one the first is p - t as well. Both losses are linear in the
targets: ``dL/dt_c = -log p_c`` and ``dL/dt = -z``.
"""

import jax
import jax.numpy as jnp

from cnnjax.ops.activation import log_softmax, sigmoid, softmax
from cnnjax.ops.gradient import custom_vjp, vary_alike


def softmax_cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    *,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
) -> jax.Array:
    """Softmax cross-entropy, one value per example.

    Args:
        logits: ``(..., classes)``.
        labels: class numbers ``(...)`` of an integer dtype (the loss of a number that
            is out of range is NaN), or a weight per class ``(..., classes)``: one-hot,
            or soft labels, such as from mixup or distillation.
        label_smoothing: the fraction of each target that is spread evenly over all
            classes, 0 to 1 (Szegedy et al. 2016).
        ignore_index: a class number that stands for an unknown class, such as -1: the
            loss of such an example and its gradient are 0.

    Returns:
        ``(...)`` with the dtype of the logits, in nats.

    Raises:
        ValueError: incompatible shapes or dtypes.
    """
    targets = as_targets(logits, labels, label_smoothing, ignore_index)
    return _cross_entropy(*vary_alike(jnp.asarray(logits), targets))


def softmax_cross_entropy_with_integer_labels(
    logits: jax.Array,
    labels: jax.Array,
    *,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
) -> jax.Array:
    """``softmax_cross_entropy`` for integer labels, named as in Optax."""
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"labels are {labels.dtype}, expected an integer dtype")
    return softmax_cross_entropy(
        logits, labels, label_smoothing=label_smoothing, ignore_index=ignore_index
    )


def check_logits(logits: jax.Array, name: str = "logits") -> None:
    """Refuses logits that are not floating-point."""
    if not jnp.issubdtype(logits.dtype, jnp.floating):
        raise ValueError(f"{name} are {logits.dtype}, expected a floating dtype")


def check_same_shape(
    name: str, values: jax.Array, labels: jax.Array, what: str = "labels"
) -> None:
    """Refuses labels of another shape than the values that they are compared with."""
    if values.shape != labels.shape:
        raise ValueError(
            f"{what} have shape {labels.shape}, expected {values.shape}, the shape of"
            f" the {name}"
        )


def as_targets(
    logits: jax.Array,
    labels: jax.Array,
    label_smoothing: float,
    ignore_index: int | None,
) -> jax.Array:
    """The weight of each class, of the shape and dtype of the logits.

    The arguments are those of ``softmax_cross_entropy``.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing is {label_smoothing}, expected 0 to 1")
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    check_logits(logits)
    targets = _targets(logits, labels)
    if label_smoothing:
        evenly = label_smoothing / logits.shape[-1]
        targets = (1 - label_smoothing) * targets + evenly
    if ignore_index is None:
        return targets
    if labels.shape == logits.shape:
        raise ValueError(
            f"ignore_index is {ignore_index}, but labels of shape {labels.shape} are"
            " weights per class, expected class numbers; give an example the weight 0"
            " in all classes to ignore it"
        )
    return jnp.where((labels == ignore_index)[..., None], 0, targets)


def _targets(logits, labels):
    if labels.shape == logits.shape:
        return labels.astype(logits.dtype)
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"labels have shape {labels.shape} and logits have shape {logits.shape},"
            f" expected class numbers {logits.shape[:-1]} or weights {logits.shape}"
        )
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"class numbers are {labels.dtype}, expected an integer dtype; weights per"
            f" class need the shape {logits.shape}"
        )
    classes = logits.shape[-1]
    targets = jax.nn.one_hot(labels, classes, dtype=logits.dtype)
    exists = (labels >= 0) & (labels < classes)
    return jnp.where(exists[..., None], targets, jnp.nan)


@custom_vjp()
def _cross_entropy(logits, targets):
    # A class with weight 0 contributes nothing, even if its logit is -inf.
    terms = log_softmax(logits)
    terms = jnp.where((targets != 0) | (terms > -jnp.inf), terms, 0)
    return -jnp.sum(targets * terms, axis=-1)


def _cross_entropy_fwd(logits, targets):
    return _cross_entropy(logits, targets), (logits, targets)


def _cross_entropy_bwd(residuals, dloss):
    logits, targets = residuals
    total = jnp.sum(targets, axis=-1, keepdims=True)
    dlogits = softmax(logits) * total - targets
    return dloss[..., None] * dlogits, -dloss[..., None] * log_softmax(logits)


_cross_entropy.defvjp(_cross_entropy_fwd, _cross_entropy_bwd)


def sigmoid_binary_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Sigmoid (binary) cross-entropy, one value per logit.

    Args:
        logits: any shape.
        labels: the same shape; 0, 1, or a probability.

    Returns:
        The shape and dtype of the logits, in nats.

    Raises:
        ValueError: different shapes, or logits that are not floating-point.
    """
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    check_logits(logits)
    check_same_shape("logits", logits, labels)
    targets = labels.astype(logits.dtype)
    return _binary_cross_entropy(*vary_alike(logits, targets))


def _stock_binary_cross_entropy(logits, targets):
    # Avoids the kinks of the maximum and the absolute value at 0.
    return jax.nn.softplus(logits) - targets * logits


@custom_vjp(stock=_stock_binary_cross_entropy)
def _binary_cross_entropy(logits, targets):
    return entropy(logits, targets)


def entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """log(1 + exp(z)) - t z, written so that exp never overflows."""
    tail = jnp.log1p(jnp.exp(-jnp.abs(logits)))
    return jnp.maximum(logits, 0) - targets * logits + tail


def _binary_cross_entropy_fwd(logits, targets):
    return _binary_cross_entropy(logits, targets), (logits, targets)


def _binary_cross_entropy_bwd(residuals, dloss):
    logits, targets = residuals
    return dloss * (sigmoid(logits) - targets), -dloss * logits


_binary_cross_entropy.defvjp(_binary_cross_entropy_fwd, _binary_cross_entropy_bwd)
