"""What a run on label maps needs, checked before any work."""

from typing import Any

from cnnjax.config import Config
from cnnjax.config.import_path import is_import_path
from cnnjax.config.values import FROM_PYTHON
from cnnjax.data import Dataset
from cnnjax.data.augmentation import check_takes_maps
from cnnjax.data.tasks import SEGMENTATION
from cnnjax.errors import ConfigError, show
from cnnjax.models import MODELS

PER_PIXEL = tuple(name for name, kind in MODELS.items() if hasattr(kind, "per_pixel"))
"""The networks with one output per pixel."""


def check_segmentation(config: Config, dataset: Dataset, model: Any = None) -> None:
    """Refuses a network, and settings, that do not fit labels per pixel or per image.

    Args:
        config: checked settings.
        dataset: whose labels decide.
        model: that a Python caller passed; ``None`` for that of the config.

    Raises:
        ConfigError: the first that does not fit.
    """
    name, maps = config.model.name, dataset.task == SEGMENTATION
    if model is None and name in PER_PIXEL and not maps:
        raise ConfigError(
            f"model.name is {name!r}, which has one output per pixel, but the labels"
            f" have shape {dataset.train.labels.shape}, expected one label per pixel,"
            " (n, *spatial), as from masks:FOLDER or npz:FILE; for one label per image,"
            " take another network, such as 'resnet20'"
        )
    if not maps:
        return
    own = is_import_path(name) or name == FROM_PYTHON
    if model is None and name not in PER_PIXEL and not own:
        raise ConfigError(
            f"model.name is {name!r}, which has one output per image, but the labels"
            f" have shape {dataset.train.labels.shape}, one per pixel, expected"
            f" {' or '.join(map(repr, PER_PIXEL))}, or a network of your own"
        )
    refuse_variants(config.eval_augment)
    if config.data.random_part:
        raise ConfigError(
            f"data.random_part is {config.data.random_part}, which does not crop label"
            " maps with their images; leave it out, and put 'resized_crop' into"
            " data.augment"
        )
    for text in config.data.augment:
        if is_import_path(text):
            raise ConfigError(
                f"data.augment holds {show(text)}, but each pixel has a label here,"
                " which a function of your own does not move; leave it out"
            )
        check_takes_maps(text)
        is_signal = len(dataset.train.images.shape) == 3
        if is_signal and text.strip().startswith("alternating_flip"):
            raise ConfigError(
                "data.augment holds alternating_flip, which does not mirror the labels"
                " of signals; use 'flip'"
            )


def refuse_variants(names: Any, setting: str = "eval_augment") -> None:
    """Refuses test-time augmentation.

    Raises:
        ConfigError: with the names.
    """
    if names:
        raise ConfigError(
            f"{setting} is {show(tuple(names))}, but the model has one output per"
            " pixel, whose variants are not averaged; leave it out"
        )
