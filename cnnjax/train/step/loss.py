"""The losses that a config can name, and the sums over a batch."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax import ops
from cnnjax.config.import_path import (
    is_import_path,
    parameters,
    resolve_function,
)
from cnnjax.data import Batch
from cnnjax.data.tasks import (
    CLASSIFICATION,
    MULTILABEL,
    REGRESSION,
    SEGMENTATION,
    TASKS,
    classes_of,
)
from cnnjax.errors import ConfigError
from cnnjax.typing import Array

PER_EXAMPLE = (
    "a function of logits (batch, classes) and labels (batch,) that returns one number"
    " per example, (batch,)"
)
PER_PIXEL = (
    "a function of logits (batch, *spatial, classes) and labels (batch, *spatial) that"
    " returns one number per pixel, (batch, *spatial)"
)

Loss = Callable[[Any, Any], jax.Array]  # from logits and labels to a loss per example

_TASKS = {
    "softmax": (CLASSIFICATION, SEGMENTATION),
    "sigmoid": (CLASSIFICATION, MULTILABEL),
    "mse": (REGRESSION,),
    "huber": (REGRESSION,),
}
"""The tasks that each loss supports."""


class LossOptions(NamedTuple):
    """The settings of a loss, apart from its name.

    Attributes:
        label_smoothing: fraction of the target that is spread over all classes.
        focal_gamma: gamma of the focal loss; 0 for the cross-entropy.
        delta: threshold of the Huber loss.
    """

    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    delta: float = 1.0


PLAIN = LossOptions()


class Sums(NamedTuple):
    """Sums over a batch's examples, or over their pixels for label maps.

    Padding and unknown labels are left out.

    Attributes:
        loss: the weighted sum of their losses.
        weight: the sum of their weights; equals ``count`` without class weights.
        correct: number of correctly classified examples.
        count: number of examples or pixels.
    """

    loss: Array
    weight: Array
    correct: Array
    count: Array


class TrainMetrics(NamedTuple):
    """Scalars of one training step.

    Attributes:
        loss: mean over the step's examples, or over their labeled pixels.
        accuracy: fraction of them that are classified correctly; 0 for regression,
            where nothing reports it.
        gradient_norm: of all gradients together, before clipping.
        learning_rate: of the step.
        skipped: 1 if the loss was a spike and nothing was updated, else 0.
    """

    loss: Array
    accuracy: Array
    gradient_norm: Array
    learning_rate: Array
    skipped: Array


def example_weights(batch: Batch, class_weights: np.ndarray | None) -> Array:
    """How much the loss of each example, or of each pixel, counts.

    Args:
        batch: with the labels.
        class_weights: of each class ``(classes,)``; ``None`` for equal ones.
    """
    if class_weights is None:
        return batch.weights
    weights = jnp.asarray(class_weights)
    if batch.labels.dtype.kind != "f":
        return batch.weights * weights[batch.labels]
    return batch.weights * (batch.labels @ weights)  # soft labels


def is_correct(logits: Array, labels: Array, task: str = CLASSIFICATION) -> Array:
    """Whether the prediction for each example is right.

    For classification, the prediction is the class with the largest logit; for soft
    labels, the most probable class is right. For multi-label data, the classes with a
    probability above 1/2 are predicted, and all known classes must be right. For
    regression, no prediction counts as right.

    Args:
        logits: ``(batch, classes)``, or ``(batch, *spatial, classes)`` for label maps.
        labels: in one of the forms in ``data/tasks.py``.
        task: what the labels mean.
    """
    if task == REGRESSION:
        return jnp.zeros(len(labels), bool)
    if task == MULTILABEL:
        right = (logits > 0) == (labels > 0.5)
        return (right | (labels < 0)).all(axis=-1)
    return jnp.argmax(logits, axis=-1) == classes_of(labels)


def is_sigmoid(loss: str, task: str) -> bool:
    """Whether each class has a probability of its own."""
    return loss == "sigmoid" or task == MULTILABEL


def tasks_of(loss: str) -> Sequence[str]:
    """The tasks that the loss called ``loss`` supports."""
    return _TASKS.get(loss, TASKS)


def make_loss(
    name: str,
    options: LossOptions = PLAIN,
    task: str = CLASSIFICATION,
    class_weights: np.ndarray | None = None,
) -> Loss:
    """A loss per example, from logits ``(batch, classes)`` and the labels of a batch.

    For label maps, it is a loss per pixel.

    Args:
        name: ``"softmax"`` (exactly one class is right), ``"sigmoid"`` (one yes-or-no
            question for each class, averaged over classes; Wightman et al. 2021),
            ``"mse"`` or ``"huber"`` (averaged over the outputs); or the import path of
            your own loss.
        options: its settings.
        task: what the labels mean.
        class_weights: for multi-label data, the factors that multiply the loss of a
            class where it is present.

    Raises:
        ConfigError: no such function, or a setting that it does not have.
    """
    smoothing, gamma, delta = options
    if is_import_path(name):
        _check_unused(name, "focal_gamma", gamma)
        return _own(name, smoothing)
    if name in ("mse", "huber"):
        _check_unused(name, "label_smoothing", smoothing)
        _check_unused(name, "focal_gamma", gamma)
        error = partial(ops.huber_loss, delta=delta)
        if name == "mse":
            error = ops.squared_error
        return lambda predictions, labels: error(predictions, labels).mean(axis=-1)
    if name == "sigmoid" and task == MULTILABEL:
        return partial(_several, options=options, class_weights=class_weights)
    if name == "sigmoid":
        return partial(_one_against_rest, options=options)
    if gamma:
        return partial(ops.softmax_focal_loss, gamma=gamma, label_smoothing=smoothing)
    return partial(ops.softmax_cross_entropy, label_smoothing=smoothing)


def _check_unused(name: str, setting: str, value: float) -> None:
    if value:
        raise ConfigError(
            f"loss.{setting} is {value}, but the loss {name!r} has no such setting; set"
            " it to 0"
        )


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


def _one_against_rest(logits, labels, *, options):
    """The mean loss over one yes-or-no question per class."""
    smoothing, classes = options.label_smoothing, logits.shape[-1]
    if labels.ndim == 1:
        labels = jax.nn.one_hot(labels, classes, dtype=logits.dtype)
    targets = (1 - smoothing) * labels + smoothing / classes
    return _questions(logits, targets, options).mean(axis=-1)


def _several(logits, labels, *, options, class_weights):
    """The same, over the classes whose labels are known."""
    known, smoothing = labels >= 0, options.label_smoothing
    targets = jnp.maximum(labels, 0).astype(logits.dtype)
    targets = (1 - smoothing) * targets + smoothing / 2
    losses = _questions(logits, targets, options)
    if class_weights is not None:
        losses *= 1 + (class_weights - 1) * jnp.maximum(labels, 0)
    number = jnp.maximum(known.sum(axis=-1), 1)
    return jnp.where(known, losses, 0).sum(axis=-1) / number


def _questions(logits, targets, options):
    """The loss of each yes-or-no question."""
    if options.focal_gamma:
        gamma = options.focal_gamma
        return ops.sigmoid_focal_loss(logits, targets, gamma=gamma)
    return ops.sigmoid_binary_cross_entropy(logits, targets)
