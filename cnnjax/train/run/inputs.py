"""The inputs of a network: what a training step and an evaluation step give it.

Nothing is trained here, and nothing is kept: ``cnnjax show`` draws these arrays.
"""

from typing import NamedTuple

import jax
import numpy as np

from cnnjax.config import Config
from cnnjax.data import Batch, TrainBatches, eval_batches, normalize
from cnnjax.data.augmentation import partner
from cnnjax.data.tasks import UNKNOWN
from cnnjax.errors import ConfigError
from cnnjax.streams import printable
from cnnjax.train.machine.numerics import configured
from cnnjax.train.run.experiment import Experiment
from cnnjax.train.run.from_data import make_class_order
from cnnjax.train.run.training_step import make_train_step
from cnnjax.train.step.state import run_key, step_key
from cnnjax.typing import Array


class Inputs(NamedTuple):
    """Examples as the network sees them.

    Attributes:
        stored: the images ``(n, *spatial, channels)`` as they are stored.
        images: the same, normalized and augmented, float32.
        labels: their classes ``(n,)``, -1 for unknown ones; or other labels with more
            axes.
        numbers: of the examples within their split ``(n,)``.
        shares: of each image in a mix with the other one of its pair ``(n,)``; ``None``
            for images that are not mixed.
        others: the labels of those others, or ``None``.
    """

    stored: Array
    images: Array
    labels: Array
    numbers: Array
    shares: Array | None = None
    others: Array | None = None

    def first(self, count: int) -> "Inputs":
        """The first ``count`` examples, or all of them if there are fewer."""
        return jax.tree.map(lambda x: x[:count], self)


class Shown(NamedTuple):
    """Examples to draw.

    Attributes:
        heading: which examples they are.
        text: sentences about them.
        inputs: the inputs of the network.
    """

    heading: str
    text: str
    inputs: Inputs


def shown_inputs(
    config: Config, experiment: Experiment, step: int, examples: int
) -> list[Shown]:
    """The first examples of a training step and of the validation split.

    Args:
        config: checked settings.
        experiment: what they stand for.
        step: number of the training step; the first one is 1.
        examples: how many of each.

    Raises:
        ConfigError: no such step.
        DataError: images that cannot be read.
    """
    batch = training_inputs(config, experiment, step)
    held_out = validation_inputs(experiment, examples)
    total, size = experiment.lengths.total, len(experiment.dataset.validation.labels)
    return [
        Shown(
            f"Training, step {step:,} of {total:,}:"
            f" {count_of(examples, config.batch_size)} of its batch",
            describe_augmentation(config),
            batch.first(examples),
        ),
        Shown(
            f"Validation: {count_of(examples, size)} of the split",
            "Not augmented.",
            held_out,
        ),
    ]


def count_of(examples: int, size: int) -> str:
    """Such as ``"the first 16 of 128 examples"``."""
    if examples >= size:
        return f"all {size:,} examples"
    return f"the first {examples:,} of {size:,} examples"


def describe_augmentation(config: Config) -> str:
    """A sentence about what happens to training images at random."""
    data = config.data
    steps = [f"random_part {data.random_part}"] if data.random_part else []
    steps += [f"crop_padding {data.crop_padding}"] if data.crop_padding else []
    steps += ["flip"] if data.flip else []
    steps += map(printable, data.augment)
    return f"Augmented: {', '.join(steps)}." if steps else "Not augmented."


def training_inputs(config: Config, experiment: Experiment, step: int) -> Inputs:
    """The whole batch of a training step, as the network sees it.

    The batch, its random parts and its augmentation are functions of the seed and the
    step, so they are those of every run of the config, whether resumed or on several
    devices.

    Args:
        config: checked settings.
        experiment: what they stand for.
        step: its number; the first one is 1, as in the lines that training prints.

    Raises:
        ConfigError: no such step.
        DataError: images that cannot be read.
    """
    check_step(step, experiment)
    batches = train_batches_at(config, experiment, step, 1)
    batch = batches[0]
    key = step_key(run_key(jax.random.key(config.seed)), step - 1)
    train_step = make_train_step(config, experiment)
    with configured(config):
        seen = jax.jit(lambda *args: train_step.inputs(*args)[:2])
        moved, shares = jax.device_get(seen(batch, key, 0))
    images, labels = moved.images, _with_unknown(moved)
    others = None if shares is None else partner(labels)
    numbers, _ = batches.examples(0)
    return Inputs(batch.images, images, labels, numbers, shares, others)


def train_batches_at(
    config: Config, experiment: Experiment, step: int, count: int
) -> TrainBatches:
    """The whole batches of ``count`` training steps from ``step`` on, as stored."""
    return TrainBatches(
        experiment.dataset.train,
        config.batch_size,
        config.seed,
        start_step=step - 1,
        num_steps=count,
        classes=make_class_order(config, experiment.dataset),
        alternates=experiment.alternates,
    )


def check_step(step: int, experiment: Experiment) -> None:
    """Refuses the number of a step that the run does not have.

    Raises:
        ConfigError: names the last one.
    """
    total = experiment.lengths.total
    if not 1 <= step <= total:
        raise ConfigError(
            f"step is {step}, expected a whole number from 1 to {total}, the last step"
            " of the run"
        )


def _with_unknown(batch: Batch) -> Array:
    """The labels of a batch, with -1 for examples of an unknown class."""
    labels = np.asarray(batch.labels)
    return labels if labels.ndim > 1 else np.where(batch.weights > 0, labels, UNKNOWN)


def validation_inputs(experiment: Experiment, count: int) -> Inputs:
    """The first ``count`` examples of the validation split, as the network sees them.

    Args:
        experiment: what a config stands for.
        count: how many; all of them if there are fewer.

    Raises:
        DataError: images that cannot be read.
    """
    split = experiment.dataset.validation
    batch = next(eval_batches(split, min(count, len(split.labels))))
    images = normalize(batch.images, experiment.normalization)
    numbers = np.arange(len(batch.labels))
    return Inputs(batch.images, images, _with_unknown(batch), numbers)
