"""The parts that a config describes: data, network, optimizer, lengths; checked."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import optax
from flax import linen as nn

from cnnjax import progress
from cnnjax.config import Config
from cnnjax.config.import_path import is_import_path
from cnnjax.data import Dataset, Normalization, load_dataset
from cnnjax.data.augmentation import AlternatingFlip, make_variants
from cnnjax.data.image_files import FileSettings
from cnnjax.data.tasks import MULTILABEL
from cnnjax.errors import ConfigError, unknown_name
from cnnjax.files import expand_path, user_cache_folder
from cnnjax.metrics import Metric
from cnnjax.models import MODELS, make_model
from cnnjax.models.own import option_names
from cnnjax.optim import make_optimizer, make_schedule
from cnnjax.streams import warn
from cnnjax.train.machine.devices import AXIS
from cnnjax.train.machine.numerics import check_backend
from cnnjax.train.run.freezing import make_groups
from cnnjax.train.run.from_data import (
    check_against_data,
    make_class_weights,
    make_normalization,
)
from cnnjax.train.run.lengths import Lengths, check_durations, make_lengths, naming
from cnnjax.train.run.metrics import (
    Monitor,
    check_metrics,
    make_metrics,
    make_monitor,
)
from cnnjax.train.run.own_code import (
    check_own_functions,
    make_augmentations,
)
from cnnjax.train.run.segmentation import check_segmentation
from cnnjax.train.step.loss import Loss, LossOptions, make_loss, tasks_of

_MODEL_KEYS = ("name",)
_RESERVED = {
    "num_classes": "the data: data.num_classes",
    "axis_name": "the setting sync_batch_norm",
    "dtype": "the setting precision",
}
_OPTIMIZER_KEYS = ("name", "learning_rate", "weight_decay", "decay_mode", "clip_norm")
_OPTIMIZER_KEYS += ("layer_decay",)


class Experiment(NamedTuple):
    """The parts of a run.

    Attributes:
        dataset: its examples.
        normalization: of their images.
        model: the network.
        optimizer: from gradients to updates.
        schedule: of the learning rate.
        loss: that evaluation reports.
        training_loss: the same, where with several classes per example each class has
            its weight.
        lengths: of the run, in steps.
        augmentations: of the training images.
        metrics: that evaluation reports beside the loss, by name.
        monitor: which of them decides.
        class_weights: how much an example of each class counts in training.
    """

    dataset: Dataset
    normalization: Normalization
    model: nn.Module
    optimizer: optax.GradientTransformation
    schedule: optax.Schedule
    loss: Loss
    training_loss: Loss
    lengths: Lengths
    augmentations: tuple[Callable[..., Any], ...] = ()
    metrics: Mapping[str, Metric] = {}
    monitor: Monitor = Monitor("loss", higher_is_better=False)
    class_weights: np.ndarray | None = None

    @property
    def alternates(self) -> bool:
        """Whether training images are mirrored in every other epoch."""
        return any(isinstance(each, AlternatingFlip) for each in self.augmentations)


class Parts(NamedTuple):
    """Parts of a run that a Python caller has made; ``None`` where the config decides.

    Attributes:
        dataset: checked, instead of ``data.source``.
        model: instead of ``model.name`` and its options.
    """

    dataset: Dataset | None = None
    model: nn.Module | None = None


ALL_FROM_CONFIG = Parts()


def make_experiment(
    config: Config,
    normalization: Normalization | None = None,
    tell: Callable[[str], None] = warn,
    parts: Parts = ALL_FROM_CONFIG,
) -> Experiment:
    """Builds the parts that ``config`` names, before any work.

    Args:
        config: checked settings.
        normalization: an earlier run's; by default measured on the training split.
        tell: takes a sentence about data that may be a mistake.
        parts: those that need not be built.

    Raises:
        ConfigError: settings that contradict each other or the data.
        DataError: data that cannot be read.
    """
    check_early(config, parts.model)
    with progress.elapsing("loading the data"):
        dataset = parts.dataset or load_dataset(
            config.data.source,
            validation_fraction=config.data.validation_fraction,
            test_fraction=config.data.test_fraction,
            seed=config.seed,
            streaming=config.data.streaming,
            files=file_settings(config),
            tasks=tasks_of(config.loss.name),
        )
    for note in dataset.notes:
        tell(f"note: {note}")
    check_against_data(config, dataset)
    check_segmentation(config, dataset, parts.model)
    lengths = make_lengths(config, len(dataset.train.labels))
    schedule = _make_schedule(config, lengths)
    normalization = normalization or make_normalization(config, dataset)
    weights = make_class_weights(config, dataset)
    metrics = make_metrics(config.metrics)
    classes, labels, task = dataset.num_classes, dataset.train.labels, dataset.task
    check_metrics(config.metrics, metrics, classes, labels, task)
    experiment = Experiment(
        dataset=dataset,
        normalization=normalization,
        model=_make_model(config, dataset.num_classes, parts.model),
        optimizer=_make_optimizer(config, schedule, make_groups(config, lengths)),
        schedule=schedule,
        loss=make_loss(config.loss.name, loss_options(config), task),
        training_loss=make_loss(config.loss.name, loss_options(config), task, weights),
        lengths=lengths,
        augmentations=make_augmentations(config, normalization),
        metrics=metrics,
        monitor=make_monitor(config.monitor, metrics, task),
        class_weights=None if task == MULTILABEL else weights,
    )
    check_own_functions(config, experiment)
    return experiment


def loss_options(config: Config) -> LossOptions:
    """The settings of a config's loss."""
    loss = config.loss
    return LossOptions(loss.label_smoothing, loss.focal_gamma, loss.delta)


def file_settings(config: Config) -> FileSettings:
    """How a config reads image files."""
    size, folder = config.data.image_size, config.data.cache_folder
    return FileSettings(
        size=(size[0], size[-1]) if size else None,
        resize=config.data.resize,
        crop_fraction=config.data.crop_fraction,
        part=config.data.random_part or None,
        bad_files=config.data.bad_files,
        workers=config.data.workers,
        cache=config.data.cache,
        cache_folder=user_cache_folder() / "images"
        if folder is None
        else expand_path(folder, "data.cache_folder"),
    )


def check_early(config: Config, model: nn.Module | None = None) -> None:
    """Builds what needs no data, so that mistakes are found before data is read."""
    check_durations(config)
    check_backend(config)
    _make_model(config, None, model)
    _make_optimizer(config, optax.constant_schedule(config.optimizer.learning_rate))
    make_loss(config.loss.name, loss_options(config))
    make_augmentations(config)
    make_variants(config.eval_augment)
    make_monitor(config.monitor, make_metrics(config.metrics))


def _make_schedule(config, lengths):
    return naming(
        "schedule",
        make_schedule,
        config.schedule.name,
        learning_rate=config.optimizer.learning_rate,
        total_steps=lengths.total,
        warmup_steps=lengths.warmup,
        end_fraction=config.schedule.end_fraction,
        step_boundaries=lengths.boundaries,
        step_factor=config.schedule.factor,
    )


def _make_model(config, num_classes, given=None):
    """The network; ``num_classes`` is ``None`` before the data is read."""
    options = _options("model", config.model, _MODEL_KEYS)
    for key, source in _RESERVED.items():
        if key in options:
            raise ConfigError(f"model.{key} cannot be set: it comes from {source}")
    kind = given if given is not None else MODELS.get(config.model.name)
    fields = getattr(kind, "__dataclass_fields__", None)
    if given is None and is_import_path(config.model.name):
        fields = option_names(config.model.name)
    if config.sync_batch_norm:
        if fields is not None and "axis_name" not in fields:
            raise ConfigError(
                f"sync_batch_norm is set, but model {config.model.name!r} has no batch"
                " normalization"
            )
        options["axis_name"] = AXIS
    if config.precision != "float32":
        if fields is not None and "dtype" not in fields:
            raise ConfigError(
                f"precision is {config.precision!r}, but model {config.model.name!r}"
                " has no field dtype"
            )
        options["dtype"] = config.precision
    if given is not None:
        _check_given(given, config, num_classes)
        return given.clone(**options)
    classes = 2 if num_classes is None else num_classes
    return naming(
        "model", make_model, config.model.name, num_classes=classes, **options
    )


def _check_given(model, config, num_classes):
    """Refuses a module of another number of classes, and options beside it.

    Raises:
        ConfigError: what does not fit.
    """
    for option in _options("model", config.model, _MODEL_KEYS):
        raise ConfigError(
            f"model.{option} is set, but the model was passed as a module; set its"
            f" field {option} instead"
        )
    own = getattr(model, "num_classes", None)
    if None not in (own, num_classes) and own != num_classes:
        raise ConfigError(
            f"the model's num_classes is {own}, expected {num_classes}, the number of"
            " classes of the data"
        )


def _make_optimizer(config, schedule, groups=None):
    settings = config.optimizer
    return naming(
        "optimizer",
        make_optimizer,
        settings.name,
        schedule,
        weight_decay=settings.weight_decay,
        decay_mode=settings.decay_mode,
        clip_norm=settings.clip_norm,
        options=_options("optimizer", settings, _OPTIMIZER_KEYS),
        groups=groups,
    )


def _options(name, section, fixed) -> dict[str, Any]:
    """The further keys of an open section; ``None`` leaves a key out.

    Raises:
        ConfigError: a key that is a misspelled fixed one.
    """
    for key in section:
        if key not in fixed and difflib.get_close_matches(key, fixed, 1, 0.85):
            names = [f"{name}.{known}" for known in fixed]
            raise ConfigError(str(unknown_name("setting", f"{name}.{key}", names)))
    return {
        key: value
        for key, value in section.items()
        if key not in fixed and value is not None
    }
