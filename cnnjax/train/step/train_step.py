"""One training step, from a batch to updated parameters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import lax

from cnnjax.data import Batch, Normalization, augment, augment_each, normalize
from cnnjax.data.augmentation import Mixing, mix, partner
from cnnjax.data.tasks import CLASSIFICATION, SEGMENTATION
from cnnjax.layers.frozen import frozen_layers
from cnnjax.optim import at_step, update_average
from cnnjax.train.step.all_reduce import all_reduce
from cnnjax.train.step.divergence import skip_spike
from cnnjax.train.step.example_key import example_key
from cnnjax.train.step.freezing import (
    NOTHING,
    Frozen,
    fill,
    inference_layers,
    keep_statistics,
    merge,
    split,
)
from cnnjax.train.step.loss import (
    Loss,
    Sums,
    TrainMetrics,
    example_weights,
    is_correct,
)
from cnnjax.train.step.pixels import as_pixels, move_maps
from cnnjax.train.step.state import TrainState, map_named, step_key
from cnnjax.typing import Array, Params


class Gradients(NamedTuple):
    """Sums over a batch, their gradient, and the network's new statistics."""

    sums: Sums
    grads: Params
    statistics: Any


@dataclass(frozen=True, eq=False)
class TrainStep:
    """One training step on one device's part of a batch.

    ``step(state, batch)`` returns the next state and the step's metrics. It is a pure
    function: read ``__call__``, ``gradients`` and ``update`` in this order.

    Attributes:
        model: called as ``model(x, train=True)``.
        loss_function: from logits and labels to one loss per example.
        normalization: of the training split.
        optimizer: from gradients to updates.
        schedule: from the number of a step to its learning rate, for the metrics.
        crop_padding: pixels of padding for the random crop.
        flip: whether images are mirrored at random.
        augmentations: further ones, each ``(key, image) -> image``.
        moves: of each of these, whether it moves label maps, too; none without maps.
        mixings: ways to mix pairs of images after that, one of them for each pair.
        accumulate_steps: number of parts that the batch is processed in, one after the
            other, to save memory; each part starts from the statistics of the last.
        task: what the labels mean.
        class_weights: of each class, ``(classes,)``: the mean loss of a step counts
            each example this many times; ``None`` for once.
        frozen: parameters and statistics that stay as they are.
        rates: what the learning rate of each parameter is multiplied by, by its name.
        average_decay: of the moving average of the weights, if the state keeps one.
        spike_factor: a step whose loss is more than this many times the usual loss
            updates nothing but the step count, which the schedule follows.
        axis_name: of the devices that share the batch; ``None`` for a single device.
    """

    model: nn.Module
    loss_function: Loss
    normalization: Normalization
    optimizer: optax.GradientTransformation
    schedule: optax.Schedule
    crop_padding: int = 0
    flip: bool = False
    augmentations: Sequence[Callable[..., Any]] = ()
    moves: Sequence[bool] = ()
    mixings: Sequence[Mixing] = ()
    accumulate_steps: int = 1
    task: str = CLASSIFICATION
    class_weights: np.ndarray | None = None
    frozen: Frozen = NOTHING
    rates: Mapping[str, float] | None = None
    average_decay: float | None = None
    spike_factor: float | None = None
    axis_name: str | None = None

    def __call__(
        self, state: TrainState, batch: Batch
    ) -> tuple[TrainState, TrainMetrics]:
        """The next state and the metrics of the step."""
        return self.update(state, self.gradients(state, batch))

    def gradients(self, state: TrainState, batch: Batch) -> Gradients:
        """Sums and gradients over all devices' parts of a batch, statistics averaged.

        Args:
            state: before the step.
            batch: this device's part.
        """
        key = step_key(state.key, state.step)
        first = 0  # the number of this device's first example within the whole batch
        if self.axis_name is not None:
            first = lax.axis_index(self.axis_name) * len(batch.labels)
        if self.accumulate_steps == 1:
            found = self._part_gradients(state, state.statistics, batch, key, first)
        else:
            found = self._accumulate(state, batch, key, first)
        if self.axis_name is not None:
            devices = lax.axis_size(self.axis_name)
            shares = jax.tree.map(lambda x: x / devices, found.statistics)
            found = all_reduce(found._replace(statistics=shares), self.axis_name)
        return found._replace(grads=fill(found.grads, state.params))

    def inputs(
        self, batch: Batch, key: jax.Array, first: Any
    ) -> tuple[Batch, Array | None, jax.Array]:
        """What the network sees of a part of a batch: normalized, augmented and mixed.

        Args:
            batch: the part, with images as they are stored.
            key: of the step, see ``step_key``.
            first: the number of the part's first example within the batch.

        Returns:
            The part with the network's inputs, and label maps moved like these; the
            share that each image has in a mix with the other one of its pair, or
            ``None`` for images that are not mixed; and the key of their dropout.
        """
        augment_key, dropout_key = jax.random.split(example_key(key, first))
        x = normalize(batch.images, self.normalization)
        x = augment(augment_key, x, crop_padding=self.crop_padding, flip=self.flip)
        x = augment_each(self.augmentations, key, x, first)
        shares, labels = None, batch.labels
        if self.mixings:
            x, shares = mix(self.mixings, key, x, first)
        if self.task == SEGMENTATION:
            labels = move_maps(self, labels, augment_key, key, first)
        return batch._replace(images=x, labels=labels), shares, dropout_key

    def _part_gradients(self, state, statistics, part, key, first) -> Gradients:
        """Sums and gradients over examples ``first``, ``first + 1``, ... of a batch.

        The gradients have gaps (``None``) for frozen parameters.
        """
        part, shares, dropout_key = self.inputs(part, key, first)
        if self.task == SEGMENTATION:
            part = as_pixels(part)
        trained, kept = split(self.frozen, state.params)

        def objective(trained):
            params = merge(trained, kept)
            return self.loss(params, part.images, statistics, part, dropout_key, shares)

        (loss, (logits, statistics)), grads = jax.value_and_grad(
            objective, has_aux=True
        )(trained)
        weight = example_weights(part, self.class_weights).sum()
        correct = jnp.sum(is_correct(logits, part.labels, self.task) * part.weights)
        sums = Sums(loss, weight, correct, part.weights.sum())
        return Gradients(sums, grads, statistics)

    def loss(
        self,
        params: Params,
        x: Array,
        statistics: Any,
        batch: Batch,
        dropout_key: Any,
        shares: Array | None = None,
    ) -> tuple[Array, tuple[Array, Any]]:
        """The objective: the loss summed over a batch, each times its weight.

        Args:
            params: of the network.
            x: the batch's images, normalized and augmented.
            statistics: the network's other variables.
            batch: whose labels and weights count.
            dropout_key: of the batch.
            shares: of each image in a mix with the other one of its pair; ``None`` for
                images that are not mixed.

        Returns:
            ``loss, (logits, statistics)``, with the statistics after the batch.
        """
        variables = {"params": params, **statistics}
        with frozen_layers(inference_layers(self.frozen, variables)):
            logits, statistics = self.model.apply(
                variables,
                x,
                train=True,
                rngs={"dropout": dropout_key},
                mutable=list(statistics),
            )
        return jnp.sum(self.losses(logits, batch, shares)), (logits, statistics)

    def losses(self, logits: Array, batch: Batch, shares: Array | None) -> Array:
        """The loss of each example, times its weight ``(batch,)``; see ``loss``."""
        weights = example_weights(batch, self.class_weights)
        losses = self.loss_function(logits, batch.labels) * weights
        if shares is None:
            return losses
        other = self.loss_function(logits, partner(batch.labels))
        return shares * losses + (1 - shares) * other * partner(weights)

    def mean_gradients(self, gradients: Gradients) -> tuple[Array, Params]:
        """The weight of a whole batch, and the gradients of its mean loss."""
        weight = gradients.sums.weight
        weight = jnp.where(weight > 0, weight, 1)  # all labels may be unknown
        grads = jax.tree.map(lambda g: (g / weight).astype(g.dtype), gradients.grads)
        return weight, grads

    def update(
        self, state: TrainState, gradients: Gradients
    ) -> tuple[TrainState, TrainMetrics]:
        """The next state and the metrics of the step.

        Args:
            state: before the step.
            gradients: over the whole batch.
        """
        (loss, _, correct, count), _, statistics = gradients
        weight, grads = self.mean_gradients(gradients)
        metrics = TrainMetrics(
            loss=loss / weight,
            accuracy=correct / jnp.maximum(count, 1),
            gradient_norm=optax.tree.norm(grads),
            learning_rate=jnp.asarray(self.schedule(state.step), jnp.float32)
            * state.rate_scale,
            skipped=jnp.zeros(()),
        )
        opt_state = at_step(state.opt_state, state.step)
        updates, opt_state = self.optimizer.update(grads, opt_state, state.params)
        updates = map_named(
            lambda name, u: (u * self._rate(name, state)).astype(u.dtype), updates
        )
        params = optax.apply_updates(state.params, updates)
        layers = inference_layers(self.frozen, state.variables)
        statistics = keep_statistics(self.frozen, layers, statistics, state.statistics)
        average = state.average
        if self.average_decay is not None:
            variables = {"params": params, **statistics}
            average = update_average(average, variables, state.step, self.average_decay)
        after = state._replace(
            step=state.step + 1,
            params=params,
            statistics=statistics,
            opt_state=opt_state,
            average=average,
        )
        if self.spike_factor is None:
            return after, metrics
        after, skipped = skip_spike(state, after, metrics.loss, self.spike_factor)
        return after, metrics._replace(skipped=skipped)

    def _rate(self, name: str, state: TrainState) -> Array:
        """The factor on the update of a parameter, its weight decay included."""
        return state.rate_scale * (self.rates[name] if self.rates else 1)

    def _accumulate(self, state, batch, key, first) -> Gradients:
        """Sums and gradients over a batch, one part of it after the other."""
        size = len(batch.labels) // self.accumulate_steps
        parts = jax.tree.map(
            lambda x: x.reshape(self.accumulate_steps, size, *x.shape[1:]), batch
        )

        def add(total: Gradients, numbered_part):
            part, number = numbered_part
            start = first + number * size
            more = self._part_gradients(state, total.statistics, part, key, start)
            sums = jax.tree.map(jnp.add, total.sums, more.sums)
            grads = jax.tree.map(jnp.add, total.grads, more.grads)
            return Gradients(sums, grads, more.statistics), None

        one = jax.tree.map(lambda x: x[0], parts)
        of_part = self._part_gradients
        shapes = jax.eval_shape(of_part, state, state.statistics, one, key, 0)
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        start = zeros._replace(statistics=state.statistics)
        return lax.scan(add, start, (parts, jnp.arange(self.accumulate_steps)))[0]
