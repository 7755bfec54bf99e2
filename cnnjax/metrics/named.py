"""The metrics that a config can name."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cnnjax import ops
from cnnjax.data.tasks import (
    CLASSIFICATION,
    MULTILABEL,
    REGRESSION,
    SEGMENTATION,
    TASKS,
    classes_of,
)
from cnnjax.errors import unknown_name
from cnnjax.metrics import errors, pixels, whole_split
from cnnjax.typing import Array

_TOP = re.compile(r"top([1-9]\d{0,8})")


class Metric(NamedTuple):
    """How a metric is computed.

    Attributes:
        function: for a mean, from logits ``(batch, classes)`` and labels ``(batch,)``
            to one number per example, or per pixel for label maps; otherwise from the
            ``Outputs`` of a whole split to its value.
        higher_is_better: ``None`` where only the user knows.
        is_mean: whether it is a mean over the examples.
        least_classes: how many classes it needs.
        tasks: what the labels can mean.
        pixels: for label maps, from the confusion matrix of the pixels of a whole split
            to the value, if it is not a mean.
    """

    function: Callable[..., Any]
    higher_is_better: bool | None
    is_mean: bool = False
    least_classes: int = 1
    tasks: tuple[str, ...] = TASKS
    pixels: Callable[..., float] | None = None


def is_in_top(logits: Array, labels: Array, *, k: int) -> Array:
    """Whether the class of each example is among its ``k`` largest logits.

    Of equal logits, that of the lower class number comes first.
    """
    logits = jnp.where(logits == 0, 0, logits)  # -0 would come after 0
    classes = classes_of(labels)[..., None]
    return jnp.any(jax.lax.top_k(logits, k)[1] == classes, axis=-1)


def log_loss(logits: Array, labels: Array) -> Array:
    """The cross-entropy of the softmax, without label smoothing, in nats."""
    logits = jnp.asarray(logits)
    wide = jnp.promote_types(logits.dtype, jnp.float32)
    return ops.softmax_cross_entropy(logits.astype(wide), labels)


def hamming_loss(logits: Array, labels: Array) -> Array:
    """The fraction of the classes of each example that are predicted wrongly."""
    known = labels >= 0
    wrong = (logits > 0) != (labels > 0.5)
    return (wrong & known).sum(axis=-1) / jnp.maximum(known.sum(axis=-1), 1)


_ONE = (CLASSIFICATION,)
_ONE_EACH = (CLASSIFICATION, SEGMENTATION)
_CLASSES = (CLASSIFICATION, MULTILABEL)
_ALL_CLASSES = (*_CLASSES, SEGMENTATION)
_SEVERAL = (MULTILABEL,)
_NUMBERS = (REGRESSION,)

METRICS = {
    "log_loss": Metric(log_loss, False, is_mean=True, tasks=_ONE_EACH),
    "balanced_accuracy": Metric(
        whole_split.macro_recall, True, tasks=_ONE_EACH, pixels=pixels.macro_recall
    ),
    "macro_precision": Metric(
        whole_split.macro_precision,
        True,
        tasks=_ALL_CLASSES,
        pixels=pixels.macro_precision,
    ),
    "macro_recall": Metric(
        whole_split.macro_recall, True, tasks=_ALL_CLASSES, pixels=pixels.macro_recall
    ),
    "macro_f1": Metric(
        whole_split.macro_f1, True, tasks=_ALL_CLASSES, pixels=pixels.macro_f1
    ),
    "mean_iou": Metric(
        whole_split.mean_iou, True, tasks=_ONE_EACH, pixels=pixels.mean_iou
    ),
    "auc": Metric(whole_split.auc, True, tasks=_CLASSES),
    "average_precision": Metric(whole_split.average_precision, True, tasks=_CLASSES),
    "calibration_error": Metric(whole_split.calibration_error, False, tasks=_ONE),
    "hamming_loss": Metric(hamming_loss, False, is_mean=True, tasks=_SEVERAL),
    "mae": Metric(errors.absolute_error, False, is_mean=True, tasks=_NUMBERS),
    "mse": Metric(errors.squared_error, False, is_mean=True, tasks=_NUMBERS),
    "rmse": Metric(errors.root_mean_squared_error, False, tasks=_NUMBERS),
    "r2": Metric(errors.r2, True, tasks=_NUMBERS),
}
"""The metrics by their names, apart from top-k accuracy: ``"top5"``, for any k."""


def find_metric(name: str) -> Metric:
    """The metric of a name.

    Raises:
        ValueError: no such metric, with the closest name.
    """
    if name in METRICS:
        return METRICS[name]
    if match := _TOP.fullmatch(name):
        k = int(match[1])
        function = partial(is_in_top, k=k)
        return Metric(function, True, is_mean=True, least_classes=k, tasks=_ONE_EACH)
    valid = [*METRICS, "top3", "top5"]
    raise ValueError(
        f"{unknown_name('metric', name, valid)}; top takes any number, and your own"
        " function is 'module:function'"
    )
