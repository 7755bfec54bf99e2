"""The losses that a config can name, per example: ``(logits, labels) -> loss``."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from cnnjax import ops

Loss = Callable[[Any, Any], jax.Array]


def make_loss(name: str, label_smoothing: float) -> Loss:
    """A loss from logits ``(batch, classes)`` and class numbers ``(batch,)``.

    Args:
        name: ``"softmax"`` (one choice among the classes) or ``"sigmoid"`` (one
            yes-or-no question a class, the mean over classes; Wightman et al. 2021).
        label_smoothing: the share of the target that is spread over all classes.
    """
    if name == "softmax":
        return partial(ops.softmax_cross_entropy, label_smoothing=label_smoothing)
    return partial(_sigmoid, label_smoothing=label_smoothing)


def _sigmoid(logits, labels, *, label_smoothing):
    classes = logits.shape[-1]
    targets = jax.nn.one_hot(labels, classes, dtype=logits.dtype)
    targets = (1 - label_smoothing) * targets + label_smoothing / classes
    return ops.sigmoid_binary_cross_entropy(logits, targets).mean(axis=-1)
