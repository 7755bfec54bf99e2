"""Predicted label maps as PNG files, one for each image."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cnnjax.data.masks import encode_mask
from cnnjax.data.tasks import SEGMENTATION
from cnnjax.errors import ConfigError
from cnnjax.files import write_whole
from cnnjax.inference.inputs import Item
from cnnjax.train.run.model_file import ModelFile


def check_masks(folder: str, items: Sequence[Item], model: ModelFile) -> None:
    """Makes the folder for masks, and refuses what cannot be written there.

    Args:
        folder: of the masks.
        items: the images, each of which gets a file of its own.
        model: that predicts.

    Raises:
        ConfigError: a model without label maps of images, two images with one name, or
            a folder that cannot be made.
    """
    if model.task != SEGMENTATION:
        raise ConfigError(
            f"--masks is {folder!r}, but the model is for {model.task}, expected one"
            " for segmentation, which predicts a class for each pixel; leave it out"
        )
    if len(model.image_shape) != 3 or model.num_classes > 256:
        raise ConfigError(
            f"--masks is {folder!r}, but the model predicts {model.num_classes} classes"
            f" for inputs of shape {model.image_shape}, expected images and at most 256"
            " classes, which fit in PNG files; use cnnjax.load(...).predict in Python"
        )
    seen: dict[str, str] = {}
    for item in items:
        name = _file_name(item.name)
        if name in seen:
            raise ConfigError(
                f"the masks of {seen[name]} and {item.name} would both be {name};"
                " predict them into two folders"
            )
        seen[name] = item.name
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--masks is {folder!r}, which cannot be made: {error.strerror}; give"
            " another folder"
        ) from error


def write_masks(folder: str, predictions: Iterable[tuple[str, Any]]) -> None:
    """Writes the label map of each prediction, ``(name of the input, LabelMap)``.

    Raises:
        OSError: a file that cannot be written.
    """
    for name, prediction in predictions:
        write_whole(Path(folder, _file_name(name)), encode_mask(prediction.labels))


def _file_name(name: str) -> str:
    """``photos/a.jpg`` becomes ``a.png``, and ``new.npz[3]`` becomes ``new_3.png``."""
    base = os.path.basename(name)
    if entry := re.fullmatch(r"(.*)\.npz\[(\d+)\]", base):
        return f"{entry[1]}_{entry[2]}.png"
    return f"{os.path.splitext(base)[0]}.png"
