"""The parts that a config describes: data, network, optimizer, lengths; checked."""

import difflib
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import optax
from flax import linen as nn

from cnnjax.config import Config, find
from cnnjax.data import Dataset, Normalization, load_dataset, measure
from cnnjax.errors import ConfigError, unknown_name
from cnnjax.models import MODELS, make_model
from cnnjax.optim import (
    make_optimizer,
    make_schedule,
    parse_duration,
    to_seconds,
    to_steps,
)
from cnnjax.streams import warn
from cnnjax.train.machine.devices import AXIS
from cnnjax.train.machine.numerics import check_backend
from cnnjax.train.step.loss import Loss, make_loss

Result = TypeVar("Result")

_DURATIONS = (
    "duration",
    "eval_every",
    "log_every",
    "checkpoint.every",
    "checkpoint.keep_every",
    "schedule.warmup",
)
_MODEL_KEYS = ("name",)
_RESERVED = {
    "num_classes": "the data: data.num_classes",
    "axis_name": "the setting sync_batch_norm",
    "dtype": "the setting precision",
}
_OPTIMIZER_KEYS = ("name", "learning_rate", "weight_decay", "decay_mode", "clip_norm")


class Lengths(NamedTuple):
    """The durations of a run in steps.

    Attributes:
        total: its length.
        eval_every: between validations.
        log_every: between lines of training metrics.
        save_every: between saves, unless they go by the clock.
        save_seconds: between saves that go by the clock, else ``None``.
        keep_every: between checkpoints that are kept for good; ``None`` for none.
        warmup: the linear rise of the learning rate.
        boundaries: after which the learning rate falls.
    """

    total: int
    eval_every: int
    log_every: int
    save_every: int
    save_seconds: float | None
    keep_every: int | None
    warmup: int
    boundaries: tuple[int, ...]


class Experiment(NamedTuple):
    """The parts of a run."""

    dataset: Dataset
    normalization: Normalization
    model: nn.Module
    optimizer: optax.GradientTransformation
    schedule: optax.Schedule
    loss: Loss
    lengths: Lengths


def make_experiment(
    config: Config,
    normalization: Normalization | None = None,
    tell: Callable[[str], None] = warn,
) -> Experiment:
    """Builds the parts that ``config`` names, before any work.

    Args:
        config: checked settings.
        normalization: an earlier run's; by default measured on the training split.
        tell: takes a sentence about data that may be a mistake.

    Raises:
        ConfigError: settings that contradict each other or the data.
        DataError: data that cannot be read.
    """
    _check_early(config)
    dataset = load_dataset(
        config.data.source,
        validation_fraction=config.data.validation_fraction,
        test_fraction=config.data.test_fraction,
        seed=config.seed,
        streaming=config.data.streaming,
    )
    for note in dataset.notes:
        tell(f"note: {note}")
    _check_against_data(config, dataset)
    lengths = _make_lengths(config, len(dataset.train.labels))
    schedule = _make_schedule(config, lengths)
    return Experiment(
        dataset=dataset,
        normalization=normalization or measure(dataset.train.images),
        model=_make_model(config, dataset.num_classes),
        optimizer=_make_optimizer(config, schedule),
        schedule=schedule,
        loss=make_loss(config.loss.name, config.loss.label_smoothing),
        lengths=lengths,
    )


def _check_early(config):
    """Builds what needs no data, so that mistakes are found before data is read."""
    for name in _DURATIONS:
        text = find(config, name)
        if text is not None:
            _naming(name, parse_duration, text)
    check_backend(config)
    _make_model(config, num_classes=1)
    _make_optimizer(config, optax.constant_schedule(config.optimizer.learning_rate))


def _check_against_data(config, dataset):
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
    examples = len(dataset.train.labels)
    if config.batch_size > examples:
        raise ConfigError(
            f"batch_size is {config.batch_size}, expected at most the {examples}"
            " examples of the training split"
        )


def _make_lengths(config, examples) -> Lengths:
    def steps(name, text, total=None, least=1):
        duration = _naming(name, parse_duration, text)
        count = _naming(
            name,
            to_steps,
            duration,
            examples=examples,
            batch_size=config.batch_size,
            total_steps=total,
        )
        if duration.amount == 0 and least:
            raise ConfigError(f"{name} is {text!r}, expected more than 0")
        if count >= 2**31:
            raise ConfigError(f"{name} is {text!r}, expected fewer than 2^31 steps")
        return max(count, least)

    settings = config.checkpoint
    total = steps("duration", config.duration)
    seconds = to_seconds(parse_duration(settings.every))
    if seconds == 0:
        raise ConfigError(
            f"checkpoint.every is {settings.every!r}, expected more than 0"
        )
    boundaries = [
        steps("schedule.boundaries", text, total) for text in config.schedule.boundaries
    ]
    return Lengths(
        total=total,
        eval_every=steps("eval_every", config.eval_every, total),
        log_every=steps("log_every", config.log_every, total),
        save_every=total
        if seconds
        else steps("checkpoint.every", settings.every, total),
        save_seconds=seconds,
        keep_every=settings.keep_every
        and steps("checkpoint.keep_every", settings.keep_every, total),
        warmup=steps("schedule.warmup", config.schedule.warmup, total, least=0),
        boundaries=tuple(boundaries),
    )


def _make_schedule(config, lengths):
    return _naming(
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


def _make_model(config, num_classes):
    options = _options("model", config.model, _MODEL_KEYS)
    for key, source in _RESERVED.items():
        if key in options:
            raise ConfigError(f"model.{key} cannot be set: it comes from {source}")
    fields = getattr(MODELS.get(config.model.name), "__dataclass_fields__", None)
    if config.sync_batch_norm:
        if fields and "axis_name" not in fields:
            raise ConfigError(
                f"sync_batch_norm is set, but model {config.model.name!r} has no batch"
                " normalization"
            )
        options["axis_name"] = AXIS
    if config.precision != "float32":
        if fields and "dtype" not in fields:
            raise ConfigError(
                f"precision is {config.precision!r}, but model {config.model.name!r}"
                " has no field dtype"
            )
        options["dtype"] = config.precision
    return _naming(
        "model", make_model, config.model.name, num_classes=num_classes, **options
    )


def _make_optimizer(config, schedule):
    settings = config.optimizer
    return _naming(
        "optimizer",
        make_optimizer,
        settings.name,
        schedule,
        weight_decay=settings.weight_decay,
        decay_mode=settings.decay_mode,
        clip_norm=settings.clip_norm,
        options=_options("optimizer", settings, _OPTIMIZER_KEYS),
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


def _naming(
    name: str, make: Callable[..., Result], /, *args: Any, **kwargs: Any
) -> Result:
    """Calls ``make``; its errors get the name of the setting.

    Raises:
        ConfigError: whatever ``make`` refuses.
    """
    try:
        return make(*args, **kwargs)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
