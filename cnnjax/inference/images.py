"""Images as users have them, arrays or files, as one array that a model takes."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.data.decoding import MODES, Decoding, decode, read_bytes
from cnnjax.data.pixels import convert_pixels
from cnnjax.errors import DataError
from cnnjax.train.run.model_file import ModelFile


def as_images(images: Any, model: ModelFile) -> tuple[np.ndarray, bool]:
    """Images as one array ``(n, *spatial, channels)``, and whether it was a single one.

    Args:
        images: an array, a path, or a sequence of these.
        model: whose image shape they must have.

    Raises:
        DataError: no images, another shape, or a file that cannot be read.
    """
    if isinstance(images, str | os.PathLike):
        return read_image(images, model)[None], True
    if isinstance(images, list | tuple):
        if not images:
            raise DataError("there are no images: expected one or more")
        if any(isinstance(image, str | os.PathLike) for image in images):
            return np.stack([as_images(image, model)[0][0] for image in images]), False
        images = [np.asarray(image) for image in images]
        if len({image.shape for image in images}) > 1:
            shapes = sorted({str(image.shape) for image in images})
            raise DataError(
                f"the images have shapes {' and '.join(shapes)}: expected"
                f" {model.image_shape}"
            )
    array, shape = np.asarray(images), model.image_shape
    is_one = array.ndim == len(shape) or array.shape == shape[:-1]
    batch = array[None] if is_one else array
    if shape[-1] == 1 and batch.shape[1:] == shape[:-1]:
        batch = batch[..., None]  # gray images need no axis for their channel
    if batch.shape[1:] != shape:
        raise DataError(
            f"images have shape {array.shape}: expected {shape}, or (n,"
            f" {', '.join(map(str, shape))}) for several, as in training"
        )
    if not len(batch):
        raise DataError(f"images have shape {array.shape}: expected one or more images")
    return convert_pixels("given", batch), is_one


def read_image(path: str | os.PathLike, model: ModelFile) -> np.ndarray:
    """One image file as an array of the model's shape.

    If the model was trained on image files, this one is resized in the same way;
    otherwise, it must have the size of the training images.

    Raises:
        DataError: a file that is no image or is damaged, another size, or a model that
            does not take two-dimensional images.
    """
    path = Path(path)
    *size, channels = model.image_shape
    decoding = model.decoding
    if decoding is None:
        if model.image_dtype != "uint8":
            raise DataError(
                f"the model was trained on {model.image_dtype} images, whose range a"
                " file does not tell: read the files yourself, and pass arrays in that"
                " range"
            )
        if len(size) != 2 or channels not in MODES:
            raise DataError(
                f"the model takes inputs of shape {model.image_shape}, which image"
                " files cannot hold: pass arrays"
            )
        decoding = Decoding(channels=channels)
    image = decode(read_bytes(path), decoding, str(path))
    if image.shape != model.image_shape:
        raise DataError(
            f"{path} has {image.shape[0]} x {image.shape[1]} pixels, but the model"
            f" takes {size[0]} x {size[1]} (height x width): resize it to that size"
        )
    return image
