"""One evaluation step: the loss and accuracy of a batch, as sums over its examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from cnnjax.data import Batch, Normalization, normalize
from cnnjax.data.augmentation import Variant, mean_logits
from cnnjax.data.tasks import CLASSIFICATION, SEGMENTATION
from cnnjax.train.step.all_reduce import all_reduce
from cnnjax.train.step.loss import Loss, is_correct
from cnnjax.train.step.pixels import as_pixels
from cnnjax.train.step.state import TrainState, trained_variables
from cnnjax.typing import Array


class Evaluated(NamedTuple):
    """Sums over a batch's examples of weight 1, and what each example gave.

    For label maps, all sums are over the labeled pixels of the examples.

    Attributes:
        loss: the sum of their losses.
        correct: how many are classified correctly.
        count: how many there are.
        metrics: the sum of each metric.
        outputs: logits ``(batch, classes)`` and losses ``(batch,)`` in float32, in the
            order of the batch and with its padding; ``None`` if they are not kept.
        confusion: for label maps, how many pixels of each class (rows) are predicted as
            each class (columns), int32 ``(classes, classes)``; otherwise ``None``.
    """

    loss: Array
    correct: Array
    count: Array
    metrics: tuple[Array, ...] = ()
    outputs: tuple[Array, Array] | None = None
    confusion: Array | None = None


@dataclass(frozen=True, eq=False)
class EvalStep:
    """One evaluation step on one device's part of a batch: ``step(state, batch)``.

    Attributes:
        model: called as ``model(x, train=False)``.
        loss_function: from logits and labels to one loss per example.
        normalization: of the training split.
        metrics: from logits and labels to one number per example.
        keeps_outputs: whether logits and losses of each example are wanted.
        axis_name: of the devices that share the batch; ``None`` for a single device.
        variants: of each image, whose logits are averaged; none for test images as
            they are.
        task: what the labels mean.
    """

    model: nn.Module
    loss_function: Loss
    normalization: Normalization
    metrics: Sequence[Callable[..., Any]] = ()
    keeps_outputs: bool = False
    axis_name: str | None = None
    variants: Sequence[Variant] = ()
    task: str = CLASSIFICATION

    def __call__(self, state: TrainState, batch: Batch) -> Evaluated:
        """Sums over the batch's examples on all devices; weight 0 counts as none."""
        x = normalize(batch.images, self.normalization)
        variables = trained_variables(state)
        logits: Any = mean_logits(
            lambda x: self.model.apply(variables, x, train=False), x, self.variants
        )
        if self.task == SEGMENTATION:
            batch = as_pixels(batch)
        real = batch.weights > 0
        losses = jnp.where(real, self.loss_function(logits, batch.labels), 0)
        correct = is_correct(logits, batch.labels, self.task) & real
        found = [metric(logits, batch.labels) for metric in self.metrics]
        more = [jnp.where(real, x, 0).astype(jnp.float32).sum() for x in found]
        sums = Evaluated(losses.sum(), correct.sum(), real.sum(), tuple(more))
        if self.task == SEGMENTATION:
            sums = sums._replace(confusion=_count(batch.labels, logits, real))
        outputs = logits.astype(jnp.float32), losses.astype(jnp.float32)
        if self.axis_name is not None:
            sums = all_reduce(sums, self.axis_name)
        if not self.keeps_outputs:
            return sums
        if self.axis_name is not None:  # each process gets all of the batch, in order
            outputs = lax.all_gather(outputs, self.axis_name, tiled=True)
        return sums._replace(outputs=outputs)


def _count(labels, logits, real):
    """How many pixels of each class are predicted as each class."""
    classes = logits.shape[-1]
    counts = jnp.zeros((classes, classes), jnp.int32)
    return counts.at[labels, jnp.argmax(logits, -1)].add(real.astype(jnp.int32))
