"""The losses that a config can name, and what is summed over a batch."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cnnjax import ops
from cnnjax.config.import_path import (
    is_import_path,
    parameters,
    resolve_function,
)
from cnnjax.errors import ConfigError
from cnnjax.typing import Array

PER_EXAMPLE = (
    "a function of logits (batch, classes) and labels (batch,) that returns one number"
    " per example, (batch,)"
)

Loss = Callable[[Any, Any], jax.Array]  # from logits and labels to a loss per example


class Sums(NamedTuple):
    """Sums over a batch's examples, padding left out.

    Attributes:
        loss: of their losses.
        correct: how many are classified correctly.
        count: how many there are.
    """

    loss: Array
    correct: Array
    count: Array


def is_correct(logits: Array, labels: Array) -> Array:
    """Whether the largest logit of each example is that of its class."""
    return jnp.argmax(logits, axis=-1) == labels


def make_loss(name: str, label_smoothing: float) -> Loss:
    """A loss per example, from logits ``(batch, classes)`` and labels ``(batch,)``.

    Args:
        name: ``"softmax"`` (exactly one class is right) or ``"sigmoid"`` (one yes-or-no
            question for each class, averaged over classes; Wightman et al. 2021); or an
            import path of your own.
        label_smoothing: fraction of the target that is spread over all classes.

    Raises:
        ConfigError: no such function, or one that cannot smooth labels.
    """
    if is_import_path(name):
        return _own(name, label_smoothing)
    if name == "softmax":
        return partial(ops.softmax_cross_entropy, label_smoothing=label_smoothing)
    return partial(_sigmoid, label_smoothing=label_smoothing)


def _own(path: str, label_smoothing: float) -> Loss:
    loss = resolve_function("loss.name", path, PER_EXAMPLE)
    if "label_smoothing" in parameters(loss)[0]:
        return partial(loss, label_smoothing=label_smoothing)
    if label_smoothing:
        raise ConfigError(
            f"loss.label_smoothing is {label_smoothing}, but {path} has no parameter"
            " label_smoothing: give it one, or set this to 0"
        )
    return loss


def _sigmoid(logits, labels, *, label_smoothing):
    classes = logits.shape[-1]
    targets = jax.nn.one_hot(labels, classes, dtype=logits.dtype)
    targets = (1 - label_smoothing) * targets + label_smoothing / classes
    return ops.sigmoid_binary_cross_entropy(logits, targets).mean(axis=-1)
