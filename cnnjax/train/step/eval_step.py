"""One evaluation step: the loss and accuracy of a batch, as sums over its examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from cnnjax.data import Batch, Normalization, normalize
from cnnjax.train.step.all_reduce import all_reduce
from cnnjax.train.step.loss import Loss, Sums, is_correct
from cnnjax.train.step.state import TrainState, trained_variables


@dataclass(frozen=True, eq=False)
class EvalStep:
    """One evaluation step on one device's part of a batch: ``step(state, batch)``.

    Attributes:
        model: called as ``model(x, train=False)``.
        loss_function: from logits and labels to one loss per example.
        normalization: of the training split.
        metrics: from logits and labels to one number per example.
        axis_name: of the devices that share the batch; ``None`` for a single device.
    """

    model: nn.Module
    loss_function: Loss
    normalization: Normalization
    metrics: Sequence[Callable[..., Any]] = ()
    axis_name: str | None = None

    def __call__(self, state: TrainState, batch: Batch) -> Sums | tuple[Any, ...]:
        """Sums over the batch's examples on all devices; padding counts as none.

        With ``metrics``, their sums follow those of the loss.
        """
        x = normalize(batch.images, self.normalization)
        logits: Any = self.model.apply(trained_variables(state), x, train=False)
        real = batch.weights > 0
        losses = jnp.where(real, self.loss_function(logits, batch.labels), 0)
        correct = is_correct(logits, batch.labels) & real
        sums: Any = Sums(losses.sum(), correct.sum(), real.sum())
        if self.metrics:
            found = [metric(logits, batch.labels) for metric in self.metrics]
            more = [jnp.where(real, x, 0).astype(jnp.float32).sum() for x in found]
            sums = (*sums, *more)
        return sums if self.axis_name is None else all_reduce(sums, self.axis_name)
