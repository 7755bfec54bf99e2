"""``model.json``: what using a trained model needs, apart from its arrays."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnjax import __version__
from cnnjax.config import Config
from cnnjax.config.values import is_size
from cnnjax.config.versions import FORMAT_VERSION, check_versions
from cnnjax.data import Normalization
from cnnjax.data.dataset import check_class_names
from cnnjax.data.decoding import Decoding
from cnnjax.data.normalization import as_lists
from cnnjax.data.tasks import CLASSIFICATION, TASKS
from cnnjax.errors import ConfigError, DataError, UnknownSettingError, show
from cnnjax.files import write_whole
from cnnjax.json_file import read_json
from cnnjax.train.run.experiment import Experiment
from cnnjax.train.run.trained import wants_best
from cnnjax.train.step.loss import LossOptions, is_sigmoid

NAME = "model.json"


class ModelFile(NamedTuple):
    """A description of a trained model.

    Attributes:
        name: of the network, as in ``model.name``.
        options: its other fields.
        num_classes: outputs of the network.
        class_names: one per class or output, or ``None`` where the data has none.
        image_shape: ``(*spatial, channels)`` of one image.
        image_dtype: ``"uint8"`` or ``"float32"``, that of the training images.
        mean: of each channel, subtracted from images.
        std: of each channel, by which images are divided then.
        precision: of activations.
        backend: what computes on a CPU.
        loss: its kind; ``"sigmoid"`` makes each class a question of its own.
        label_smoothing: of the loss.
        takes_best: whether training ended with the best state instead of the last.
        best: the step and the metrics of the best checkpoint so far; ``None`` for
            values that are not finite.
        decoding: how image files became arrays; ``None`` if it was trained on arrays.
        metrics: names and import paths of what evaluation reports.
        focal_gamma: of the loss.
        delta: of the loss.
        task: what its outputs mean: ``"classification"``, ``"multilabel"``,
            ``"regression"`` or ``"segmentation"``.
        eval_augment: what test-time augmentation does.
    """

    name: str
    options: Mapping[str, Any]
    num_classes: int
    class_names: tuple[str, ...] | None
    image_shape: tuple[int, ...]
    image_dtype: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    precision: str
    backend: str
    loss: str
    label_smoothing: float
    takes_best: bool
    best: Mapping[str, Any] | None
    decoding: Decoding | None = None
    metrics: tuple[str, ...] = ()  # older files lack this and all that follows
    focal_gamma: float = 0.0
    delta: float = 1.0
    task: str = CLASSIFICATION
    eval_augment: tuple[str, ...] = ()

    @property
    def loss_options(self) -> LossOptions:
        """The settings of the loss."""
        return LossOptions(self.label_smoothing, self.focal_gamma, self.delta)

    @property
    def names(self) -> tuple[str, ...]:
        """One name per class or output; numbers as text where the data had none."""
        return self.class_names or tuple(map(str, range(self.num_classes)))

    @property
    def is_sigmoid(self) -> bool:
        """Whether each class has a probability of its own."""
        return is_sigmoid(self.loss, self.task)

    @property
    def normalization(self) -> Normalization:
        """Mean and deviation of each channel."""
        mean, std = (np.array(values, np.float32) for values in (self.mean, self.std))
        return Normalization(mean, std)


def describe_model(
    config: Config, experiment: Experiment, best: Mapping[str, Any] | None
) -> ModelFile:
    """The description of the model that a run trains.

    Args:
        config: checked settings.
        experiment: what they stand for.
        best: step and score of the best validation so far.
    """
    options = {k: v for k, v in config.model.items() if k != "name" and v is not None}
    images = experiment.dataset.train.images
    mean, std = as_lists(experiment.normalization).values()
    return ModelFile(
        name=config.model.name,
        options=options,
        num_classes=experiment.dataset.num_classes,
        class_names=experiment.dataset.class_names,
        image_shape=tuple(images.shape[1:]),
        image_dtype=str(images.dtype),
        mean=tuple(mean),
        std=tuple(std),
        precision=config.precision,
        backend=config.backend,
        loss=config.loss.name,
        label_smoothing=config.loss.label_smoothing,
        takes_best=wants_best(config),
        best=best,
        decoding=experiment.dataset.decoding,
        metrics=config.metrics,
        focal_gamma=config.loss.focal_gamma,
        delta=config.loss.delta,
        task=experiment.dataset.task,
        eval_augment=config.eval_augment,
    )


def write(workdir: Path, model: ModelFile) -> None:
    """Writes the file: other processes see all of it or nothing."""
    write_whole(workdir / NAME, json.dumps(as_values(model), indent=2) + "\n")


def as_values(model: ModelFile) -> dict[str, Any]:
    """The description as values for JSON, with the versions that wrote it."""
    versions = {"format_version": FORMAT_VERSION, "cnnjax_version": __version__}
    values = model._asdict()
    if model.decoding is not None:
        values["decoding"] = model.decoding._asdict()
    return versions | values


def read(workdir: Path) -> ModelFile:
    """The description in a working directory.

    Raises:
        ConfigError: no such file, a damaged one, or one of a newer version.
    """
    path = workdir / NAME
    try:
        return parse(read_json(path))
    except FileNotFoundError as error:
        raise ConfigError(
            f"no trained model in {workdir}: there is no {path}; give the working"
            " directory of a run (a run of an older version gets the file when it is"
            " resumed)"
        ) from error
    except UnknownSettingError as error:
        raise ConfigError(f"{path} {error}") from error
    except KeyError as error:
        raise ConfigError(f"{path} is damaged: it lacks {error}; restore it") from error
    except (ConfigError, DataError, OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path} is damaged: {error}; restore it") from error


def parse(content: Any) -> ModelFile:
    """The description that ``as_values`` turned into values for JSON.

    Raises:
        ConfigError: a newer version's, or a setting that this version lacks.
        KeyError: a value that is missing.
        DataError, TypeError, ValueError: a value that ``describe_model`` never gives.
    """
    if not isinstance(content, dict):
        raise ValueError(f"it holds {show(content)}, expected an object")
    check_versions(content.get("format_version"), content.get("cnnjax_version"))
    content = ModelFile._field_defaults | content
    return _checked(ModelFile(**{name: content[name] for name in ModelFile._fields}))


def _checked(model: ModelFile) -> ModelFile:
    """The same with tuples for lists.

    Raises:
        ValueError: a value that ``describe_model`` never gives.
    """
    _expect("name", model.name, isinstance(model.name, str))
    options = model.options
    _expect("options", options, isinstance(options, dict))
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    _expect("num_classes", model.num_classes, is_size(model.num_classes))
    shape = _list("image_shape", model.image_shape, is_size)
    _expect("image_shape", shape, 2 <= len(shape) <= 4)
    dtypes = ("uint8", "float32")
    _expect("image_dtype", model.image_dtype, model.image_dtype in dtypes)
    mean = _list("mean", model.mean, _is_finite)
    std = _list("std", model.std, _is_finite)
    _expect("mean", mean, len(mean) == shape[-1])
    _expect("std", std, len(std) == shape[-1] and min(std) > 0)
    precisions = ("float32", "bfloat16")
    _expect("precision", model.precision, model.precision in precisions)
    _expect("backend", model.backend, model.backend in ("auto", "native", "xla"))
    _expect("loss", model.loss, isinstance(model.loss, str))
    smoothing = model.label_smoothing
    _expect("label_smoothing", smoothing, _is_finite(smoothing) and 0 <= smoothing <= 1)
    _expect("focal_gamma", model.focal_gamma, _is_finite(model.focal_gamma))
    _expect("delta", model.delta, _is_finite(model.delta) and model.delta > 0)
    _expect("task", model.task, model.task in TASKS)
    _expect("takes_best", model.takes_best, isinstance(model.takes_best, bool))
    _expect("best", model.best, model.best is None or isinstance(model.best, dict))
    metrics = _texts("metrics", model.metrics)
    eval_augment = _texts("eval_augment", model.eval_augment)
    names = model.class_names
    if names is not None:
        _expect("class_names", names, isinstance(names, list))
        names = check_class_names(names, model.num_classes)
    decoding = None if model.decoding is None else _decoding(model.decoding, shape)
    return model._replace(
        options=options,
        image_shape=shape,
        mean=mean,
        std=std,
        class_names=names,
        decoding=decoding,
        metrics=metrics,
        eval_augment=eval_augment,
    )


def _decoding(values: Any, shape: tuple[int, ...]) -> Decoding:
    """How files become images of ``shape``."""
    _expect("decoding", values, isinstance(values, dict))
    decoding = Decoding(**values)
    size, fraction = decoding.size, decoding.crop_fraction
    if size is not None:
        size = tuple(_list("decoding.size", size, is_size))
        _expect("decoding.size", size, size == shape[:-1])
    modes = ("crop", "squash", "pad")
    _expect("decoding.resize", decoding.resize, decoding.resize in modes)
    good = _is_finite(fraction) and 0 < fraction <= 1
    _expect("decoding.crop_fraction", fraction, good)
    channels = decoding.channels
    _expect("decoding.channels", channels, channels in (1, 3) and channels == shape[-1])
    _expect("decoding.deep", decoding.deep, isinstance(decoding.deep, bool))
    return decoding._replace(size=size)


def _expect(name: str, value: Any, is_right: bool) -> None:
    if not is_right:
        raise ValueError(f"its {name} is {show(value)}")


def _list(name: str, values: Any, allows: Any) -> tuple[Any, ...]:
    _expect(name, values, isinstance(values, list) and all(map(allows, values)))
    return tuple(values)


def _texts(name: str, values: Any) -> tuple[str, ...]:
    _expect(name, values, isinstance(values, list | tuple))
    _expect(name, values, all(isinstance(text, str) for text in values))
    return tuple(values)


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
