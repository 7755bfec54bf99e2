"""Checks of a user's own functions and network, on shapes alone, before any work."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.config import Config
from cnnjax.config.import_path import (
    failure,
    is_import_path,
    resolve_function,
)
from cnnjax.config.values import FROM_PYTHON
from cnnjax.data import Normalization
from cnnjax.data.augmentation import (
    AlternatingFlip,
    Mixing,
    make_augmentation,
    needs_pixels,
)
from cnnjax.data.tasks import SEGMENTATION
from cnnjax.errors import BackendError, ConfigError, show
from cnnjax.models.own import EXPECTED
from cnnjax.train.machine.numerics import configured
from cnnjax.train.step.loss import PER_EXAMPLE, PER_PIXEL

Function = Callable[..., Any]

AUGMENTATION = (
    "a function of a key and one image that returns an image of the same kind"
)


def make_augmentations(
    config: Config, normalization: Normalization | None = None
) -> tuple[Function, ...]:
    """The functions that ``data.augment`` names: built in, or the user's own.

    Args:
        config: checked settings.
        normalization: of the images; ``None`` before the data is read.

    Raises:
        ConfigError: no such function, or arguments that it does not take.
    """
    texts = config.data.augment
    made = tuple(_make_augmentation(text, normalization) for text in texts)
    mixing = [isinstance(each, Mixing) for each in made]
    if mixing != sorted(mixing):
        last = texts[mixing.index(True)]
        raise ConfigError(
            f"data.augment has {show(last)} before others, but it mixes images after"
            " all other augmentations: put it at the end"
        )
    _check_alternating(config, made)
    return made


def _check_alternating(config, made):
    """Refuses an alternating flip beside a random one, and one that is not first."""
    places = [n for n, each in enumerate(made) if isinstance(each, AlternatingFlip)]
    if not places:
        return
    texts = config.data.augment
    if places != [0]:
        raise ConfigError(
            f"data.augment is {show(texts)}, expected alternating_flip once, at the"
            " start: images are mirrored when a batch is loaded"
        )
    others = [text for text in texts if text.partition("(")[0].strip() == "flip"]
    if config.data.flip or others:
        other = others[0] if others else "data.flip"
        raise ConfigError(
            f"data.augment holds alternating_flip beside {other}, which mirrors images"
            " at random, so that they no longer alternate; leave one of them out"
        )


def _make_augmentation(text, normalization):
    if is_import_path(text):
        return resolve_function("data.augment", text, AUGMENTATION)
    try:
        return make_augmentation(text, normalization)
    except ConfigError as error:
        raise ConfigError(f"data.augment: {error}") from error


def check_own_functions(config: Config, experiment: Any) -> None:
    """Refuses own functions and networks whose outputs have the wrong shape.

    Args:
        config: checked settings.
        experiment: what they stand for.

    Raises:
        ConfigError: the first that does not fit.
    """
    shape = experiment.dataset.train.images.shape[1:]
    classes = experiment.dataset.num_classes
    if is_import_path(config.loss.name):
        labels = experiment.dataset.train.labels
        path = config.loss.name
        task = experiment.dataset.task
        check_per_example("loss.name", path, experiment.loss, classes, labels, task)
    functions = experiment.augmentations
    for text, augment in zip(config.data.augment, functions, strict=True):
        if not callable(augment):  # mixing, or done when a batch is loaded
            continue
        if is_import_path(text):
            _check_augmentation(text, augment, shape)
        else:
            _check_built_in(text, augment, experiment.dataset.train.images)
    is_given = config.model.name == FROM_PYTHON
    has_maps = experiment.dataset.task == SEGMENTATION
    if is_import_path(config.model.name) or (is_given and has_maps):
        expected = (2, *shape[:-1], classes) if has_maps else (2, classes)
        _check_model(config, experiment.model, shape, expected)


def check_per_example(
    setting: str, path: str, function: Function, classes: int, like: Any, task: str
) -> None:
    """Refuses a function of logits and labels that gives no number per example.

    For label maps, it must give one per pixel.

    Args:
        setting: ``"loss.name"`` or ``"metrics"``.
        path: its value.
        function: that the path names.
        classes: of the data.
        like: labels of the data, for their shape and dtype.
        task: what they mean.

    Raises:
        ConfigError: with what it returns.
    """
    expected, what = (3,), PER_EXAMPLE
    labels = jax.ShapeDtypeStruct((3, *like.shape[1:]), like.dtype)
    if task == SEGMENTATION:
        expected, what = labels.shape, PER_PIXEL
        labels = jax.ShapeDtypeStruct(labels.shape, jnp.int32)
    logits = jax.ShapeDtypeStruct((*expected, classes), jnp.float32)
    found = _shape_of(setting, path, function, logits, labels)
    if getattr(found, "shape", None) != expected or found.dtype.kind not in "fiub":
        raise ConfigError(
            f"{setting} is {path!r}, which returns {_show(found)} for logits"
            f" {logits.shape} and labels {labels.shape}, expected float32 {expected}:"
            f" {what}"
        )
    if setting == "loss.name" and found.dtype.kind != "f":
        raise ConfigError(
            f"loss.name is {path!r}, which returns {_show(found)}, expected float32,"
            " which has a gradient"
        )


def _check_augmentation(path, function, shape):
    image = jax.ShapeDtypeStruct(shape, jnp.float32)
    found = _shape_of("data.augment", path, function, jax.random.key(0), image)
    same = (getattr(found, "shape", None), getattr(found, "dtype", None))
    if same != (shape, jnp.float32):
        raise ConfigError(
            f"data.augment holds {path!r}, which returns {_show(found)}, expected"
            f" float32 {shape}: {AUGMENTATION}"
        )


def _check_built_in(text, function, images):
    if images.dtype != np.uint8 and needs_pixels(text):
        raise ConfigError(
            f"data.augment holds {show(text)}, which needs pixels from 0 to 255, but"
            f" the images are {images.dtype}, whose black and white are unknown; leave"
            " it out, or store the images as uint8"
        )
    image = jax.ShapeDtypeStruct(images.shape[1:], jnp.float32)
    try:
        jax.eval_shape(function, jax.random.key(0), image)
    except ConfigError as error:
        raise ConfigError(f"data.augment holds {show(text)}, but {error}") from error


def _check_model(config, model, shape, expected):
    x = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    key = jax.random.key(0)

    def run(x):
        rngs = {"params": key, "dropout": key}
        logits, variables = model.init_with_output(rngs, x, train=False)
        others = {name: value for name, value in variables.items() if name != "params"}
        trained, _ = model.apply(
            variables, x, train=True, rngs={"dropout": key}, mutable=[*others]
        )
        return logits, trained

    with configured(config):
        logits, trained = _shape_of("model.name", config.model.name, run, x)
    for found in (logits, trained):
        if getattr(found, "shape", None) != expected:
            raise ConfigError(
                f"model.name is {config.model.name!r}, which returns {_show(found)} for"
                f" 2 images of {expected[-1]} classes, expected {expected}: the last"
                " layer has num_classes outputs"
            )


def _shape_of(setting, path, function, *arguments):
    try:
        return jax.eval_shape(function, *arguments)
    except BackendError as error:
        raise ConfigError(str(error)) from error
    except Exception as error:  # the function may hold any code
        expected = EXPECTED if setting == "model.name" else PER_EXAMPLE
        expected = AUGMENTATION if setting == "data.augment" else expected
        text = failure(setting, path, error)
        raise ConfigError(f"{text}; expected {expected}") from error


def _show(found: Any) -> str:
    if hasattr(found, "shape"):
        return f"{np.dtype(found.dtype)} {found.shape}"
    return f"a {type(found).__name__}"
