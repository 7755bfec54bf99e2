"""Parts of a run that follow from its data, and settings that must fit it."""

from typing import Any

import numpy as np

from cnnjax.config import Config
from cnnjax.config.import_path import is_import_path
from cnnjax.data import Dataset, Normalization, StreamedImages, measure
from cnnjax.data.augmentation import check_variants, make_variants
from cnnjax.data.class_order import ClassOrder
from cnnjax.data.normalization import IMAGENET
from cnnjax.data.tasks import MULTILABEL, REGRESSION, balanced_weights
from cnnjax.errors import ConfigError
from cnnjax.train.step.loss import tasks_of


def check_against_data(config: Config, dataset: Dataset) -> None:
    """Refuses settings that contradict the data.

    Raises:
        ConfigError: the first of them.
    """
    wanted, found = config.data.num_classes, dataset.num_classes
    if wanted is not None and wanted != found:
        raise ConfigError(
            f"data.num_classes is {wanted}, but {config.data.source} has {found}"
            f" classes (labels 0 to {found - 1}); set it to {found}, or leave it out"
        )
    sizes = dataset.train.images.shape[1:-1]
    if config.data.crop_padding >= min(sizes):
        raise ConfigError(
            f"data.crop_padding is {config.data.crop_padding}, expected less than the"
            f" images' size {sizes}"
        )
    check_variants(make_variants(config.eval_augment), (*sizes, 1))
    examples = len(dataset.train.labels)
    if config.batch_size > examples:
        raise ConfigError(
            f"batch_size is {config.batch_size}, expected at most the {examples}"
            " examples of the training split"
        )
    if dataset.task not in tasks_of(config.loss.name):
        raise ConfigError(
            f"loss.name is {config.loss.name!r}, but the labels are for {dataset.task},"
            f" expected a loss for that: 'softmax' for one class per example or pixel,"
            " 'sigmoid' for several, 'mse' or 'huber' for numbers"
        )
    labels = dataset.train.labels
    if config.data.sampling == "balanced" and labels.ndim != 1:
        raise ConfigError(
            "data.sampling is 'balanced', expected 'shuffle', because the labels have"
            f" shape {labels.shape}: only examples of one class each can be balanced"
        )


def make_class_weights(config: Config, dataset: Dataset) -> np.ndarray | None:
    """The weight of each class in the training loss; ``None`` if all count alike.

    Raises:
        ConfigError: weights that do not fit the classes.
    """
    weights, classes = config.loss.class_weights, dataset.num_classes
    if not weights:
        return None
    if dataset.task == REGRESSION:
        raise ConfigError(
            f"loss.class_weights is {weights}, but the labels are numbers, which have"
            " no classes; leave it out"
        )
    own = is_import_path(config.loss.name)
    if dataset.task == MULTILABEL and own:
        raise ConfigError(
            f"loss.class_weights is {weights}, but {config.loss.name} gives one loss"
            " for all classes of an example; weight them there, and leave this out"
        )
    if weights == ("balanced",):
        return balanced_weights(dataset.train.labels, dataset.task, classes)
    if len(weights) != classes or not any(weights):
        raise ConfigError(
            f"loss.class_weights is {weights}, expected one number for each of the"
            f" {classes} classes, one above 0 among them"
        )
    return np.array(weights, np.float32)


def make_class_order(config: Config, dataset: Dataset) -> ClassOrder | None:
    """The order of a balanced sampling; ``None`` without one."""
    balanced = config.data.sampling == "balanced"
    return ClassOrder(dataset.train.labels) if balanced else None


def make_normalization(config: Config, dataset: Dataset) -> Normalization:
    """The normalization that the config gives, or that of the training images.

    Raises:
        ConfigError: another number of channels, or a deviation that is not positive.
    """
    images, settings = dataset.train.images, config.data
    mean, std = (
        _given("mean", settings.mean, images),
        _given("std", settings.std, images),
    )
    if std.size and not std.min() > 0:
        raise ConfigError(f"data.std is {settings.std}, expected numbers above 0")
    if mean.size and std.size:
        return Normalization(mean, std)
    measured = measure(images)
    return Normalization(
        mean if mean.size else measured.mean, std if std.size else measured.std
    )


def _given(
    name: str, values: tuple[Any, ...], images: np.ndarray | StreamedImages
) -> np.ndarray:
    """The numbers that a setting gives; none if it leaves them to be measured."""
    channels = images.shape[-1]
    if values == ("imagenet",):
        if channels != 3 or images.dtype != np.uint8:
            raise ConfigError(
                f"data.{name} is 'imagenet', expected numbers: the images have"
                f" {channels} channels of {images.dtype}, and ImageNet's numbers are"
                " for red, green and blue from 0 to 255"
            )
        return getattr(IMAGENET, name)
    if values and len(values) != channels:
        raise ConfigError(
            f"data.{name} is {values}, expected one number for each of the {channels}"
            " channels of the images"
        )
    return np.array(values, np.float32)
