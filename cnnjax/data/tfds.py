"""Data sets of TensorFlow Datasets, read without TensorFlow."""

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from cnnjax.data.dataset import RawDataset, Split
from cnnjax.data.errors import DataError
from cnnjax.data.size import check_size

_READ_EXAMPLES = 256


def load_tfds(argument: str) -> RawDataset:
    """Reads ``train``, and where they exist ``validation`` and ``test``.

    Files are ArrayRecord. Where the data set is not prepared, it is downloaded and
    prepared; some builders (MNIST's and CIFAR's among them) need TensorFlow for that,
    though not for reading. Without a network TFDS tries for minutes before it fails.

    Args:
      argument: ``name`` or ``name@data_dir``; a name may hold a configuration and a
        version, ``name/config:1.0.0``.

    Raises:
      DataError: if the data set is unknown, cannot be prepared or read, or does not
        hold images of one shape with labels.
    """
    name, _, data_dir = argument.partition("@")
    if not name:
        raise DataError("'tfds' needs a name: write 'tfds:<name>'")
    builder = _prepared_builder(name, data_dir or None)
    image_key, label_key = _keys(builder)
    splits = {
        split: _read_split(builder, split, image_key, label_key)
        for split in ("train", "validation", "test")
        if split in builder.info.splits
    }
    if "train" not in splits:
        raise DataError(
            f"{name} has no split 'train', only {', '.join(builder.info.splits)}"
        )
    num_classes = getattr(builder.info.features[label_key], "num_classes", None)
    return RawDataset(**splits, num_classes=num_classes)


def _prepared_builder(name: str, data_dir: str | None) -> Any:
    import tensorflow_datasets as tfds

    place = f" in {data_dir}" if data_dir else ""
    try:
        builder = tfds.builder(name, data_dir=data_dir, file_format="array_record")
    except Exception as error:
        # The message of an unknown name lists all names, a screen and a half of them.
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"there is no data set {name!r}{place} ({reason}): see"
            " https://www.tensorflow.org/datasets/catalog, or import its builder first"
        ) from error
    if builder.is_prepared():
        return builder
    try:
        _encode_with_pillow(builder.info.features)
        builder.download_and_prepare(file_format="array_record")
    except Exception as error:
        place = f" --data_dir={data_dir}" if data_dir else ""
        raise DataError(
            f"{name} is not in {builder.data_dir} and cannot be prepared"
            f" ({type(error).__name__}: {error}): with a network, and with TensorFlow"
            f" if its builder needs it, run 'tfds build {name} --file_format="
            f"array_record{place}', here or elsewhere, and copy the folder"
        ) from error
    return builder


def _encode_with_pillow(features: Any) -> None:
    """Makes image features compress arrays without TensorFlow."""
    from PIL import Image
    from tensorflow_datasets.core.features import Image as ImageFeature

    def replace(feature: Any) -> None:
        encode = feature.encode_example

        def encode_example(image: Any) -> Any:
            if isinstance(image, np.ndarray) and image.dtype == np.uint8:
                image = Image.fromarray(
                    image[..., 0] if image.shape[-1] == 1 else image
                )
            return encode(image)

        feature.encode_example = encode_example

    for feature in features.values():
        if isinstance(feature, ImageFeature) and feature.np_dtype == np.uint8:
            replace(feature)


def _keys(builder: Any) -> tuple[str, str]:
    """Returns the names of the image and of the label."""
    keys = builder.info.supervised_keys
    if not (isinstance(keys, tuple) and len(keys) == 2):
        keys = ("image", "label")
    features = list(builder.info.features)
    for key in keys:
        if key not in features:
            raise DataError(
                f"{builder.name} has no feature {key!r}, only {', '.join(features)}:"
                " expected an image and a label"
            )
    return keys


def _read_split(builder: Any, split: str, image_key: str, label_key: str) -> Split:
    where = f"{builder.name} split {split!r}"
    try:
        source = builder.as_data_source(split)
        indices = list(range(len(source)))
        examples = itertools.chain.from_iterable(
            source.__getitems__(indices[start : start + _READ_EXAMPLES])
            for start in range(0, len(source), _READ_EXAMPLES)
        )
        pairs = ((example[image_key], example[label_key]) for example in examples)
        return _stack(where, len(source), pairs)
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"{where} cannot be read from {builder.data_dir} ({type(error).__name__}:"
            f" {error}): delete that folder and prepare it again as array_record"
        ) from error


def _stack(where: str, n: int, pairs: Iterable[tuple[Any, Any]]) -> Split:
    """Copies images into one array, whose shape the first of them decides."""
    images, labels = None, []
    for index, (image, label) in enumerate(pairs):
        image = np.asarray(image)
        if images is None:
            check_size(where, n * image.nbytes)
            images = np.empty((n, *image.shape), image.dtype)
        if (image.shape, image.dtype) != (images.shape[1:], images.dtype):
            raise DataError(
                f"{where} has images of shape {images.shape[1:]}, but image {index} has"
                f" {image.shape}: all need one shape; resize them beforehand"
            )
        images[index] = image
        labels.append(label)
    if images is None:
        raise DataError(f"{where} is empty: prepare the data set again")
    return Split(images, np.asarray(labels))
