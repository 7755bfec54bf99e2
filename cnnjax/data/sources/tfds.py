"""Data sets from TensorFlow Datasets, read without TensorFlow."""

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnjax import progress
from cnnjax.data.dataset import SPLITS, RawDataset, Split
from cnnjax.data.pixels import pixel_dtype
from cnnjax.data.size import check_size
from cnnjax.data.sources.tfds_guard import check_folder, check_name, own_features_only
from cnnjax.data.stream import StreamedImages
from cnnjax.errors import DataError

_READ_EXAMPLES = 256


def load_tfds(argument: str, only: str | None = None) -> RawDataset:
    """Reads ``train``, and ``validation`` and ``test`` if they exist.

    Files are in ArrayRecord format. A data set that is not prepared yet is downloaded
    and prepared. Some builders (including MNIST's and CIFAR's) need TensorFlow for
    that, but not for reading. Without a network, TFDS retries for minutes before it
    fails.

    Args:
      argument: ``name`` or ``name@data_dir``; a name may include a configuration and a
        version, ``name/config:1.0.0``.
      only: the one split to read; by default all three.

    Raises:
      DataError: if the data set is unknown, cannot be prepared or read, names classes
        that are not TFDS's own, or does not consist of labeled images of one shape.
    """
    with own_features_only():
        return _load(argument, _read_split, only)


def stream_tfds(argument: str, only: str | None = None) -> RawDataset:
    """Like ``load_tfds``, but leaves the images on disk.

    They are decoded batch by batch. Labels are stored next to the images, so all
    records are read once at the start, without decoding the images.
    """
    with own_features_only():
        return _load(argument, _stream_split, only)


def _load(argument: str, read_split: Callable, only: str | None) -> RawDataset:
    name, _, data_dir = argument.partition("@")
    if not name:
        raise DataError("'tfds' needs a name: write 'tfds:<name>'")
    check_name(name)
    folder = os.path.expanduser(data_dir) or None
    check_folder(name, folder)
    builder = _prepared_builder(name, folder)
    keys = _keys(builder)
    if "train" not in builder.info.splits:
        raise DataError(
            f"{name} has no split 'train', only {', '.join(builder.info.splits)}"
        )
    splits = {
        split: read_split(builder, split, keys)
        for split in SPLITS
        if split in builder.info.splits and only in (None, split)
    }
    labels = builder.info.features[keys[1]]
    num_classes = getattr(labels, "num_classes", None)
    names = getattr(labels, "names", None)
    return RawDataset(
        *map(splits.get, SPLITS), num_classes=num_classes, class_names=names or None
    )


def _prepared_builder(name: str, data_dir: str | None) -> Any:
    import tensorflow_datasets as tfds

    place = f" in {data_dir}" if data_dir else ""
    try:
        builder = tfds.builder(name, data_dir=data_dir, file_format="array_record")
    except DataError:
        raise
    except Exception as error:
        # For an unknown name, the message lists every name: a screen and a half.
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
    """Lets image features compress arrays without TensorFlow."""
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
    """Returns the names of the image feature and the label feature."""
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


@dataclass(frozen=True, eq=False)
class _Records:
    """A split whose examples are read by random access.

    The first example determines the shape and dtype of all images.
    """

    where: str
    folder: str
    source: Any
    keys: tuple[str, str]
    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads images ``(k, *shape)`` and labels ``(k,)`` in any order."""
        images, labels = np.empty((len(indices), *self.shape), self.dtype), []
        image_key, label_key = self.keys
        with _naming(self.where, self.folder):
            for place, example in enumerate(_examples(self.source, indices)):
                image = np.asarray(example[image_key])
                self._check(image, indices[place])
                images[place] = image
                labels.append(example[label_key])
                if place % _READ_EXAMPLES == 0 or place == len(indices) - 1:
                    progress.tell(f"decoding {self.where}", place + 1, len(indices))
        return images, np.asarray(labels)

    def read_images(self, indices: np.ndarray) -> np.ndarray:
        """Reads images; threads may call this concurrently."""
        return self.read(indices)[0]

    def _check(self, image: np.ndarray, index: int) -> None:
        if (image.shape, image.dtype) != (self.shape, self.dtype):
            raise DataError(
                f"{self.where} has images of shape {self.shape}, but image {index} has"
                f" {image.shape}: all images need the same shape; resize them first"
            )


def _open_split(builder: Any, split: str, keys: tuple[str, str]) -> _Records:
    where = f"{builder.name} split {split!r}"
    with _naming(where, builder.data_dir):
        source = builder.as_data_source(split)
        if not len(source):
            raise DataError(f"{where} is empty: prepare the data set again")
        image = np.asarray(source[0][keys[0]])
    return _Records(where, builder.data_dir, source, keys, image.shape, image.dtype)


def _read_split(builder: Any, split: str, keys: tuple[str, str]) -> Split:
    records = _open_split(builder, split, keys)
    n = len(records.source)
    check_size(records.where, n * math.prod(records.shape) * records.dtype.itemsize)
    return Split(*records.read(np.arange(n)))


def _stream_split(builder: Any, split: str, keys: tuple[str, str]) -> Split:
    import tensorflow_datasets as tfds

    records = _open_split(builder, split, keys)
    images = StreamedImages(
        name=records.where,
        read=records.read_images,
        example_shape=records.shape,
        dtype=pixel_dtype(records.where, records.dtype),
        indices=np.arange(len(records.source)),
    )
    image_key, label_key = keys
    with _naming(records.where, records.folder):
        encoded = builder.as_data_source(
            split, decoders={image_key: tfds.decode.SkipDecoding()}
        )
        examples = _examples(encoded, images.indices)
        return Split(images, np.asarray([example[label_key] for example in examples]))


def _examples(source: Any, indices: np.ndarray) -> Iterator[dict]:
    for start in range(0, len(indices), _READ_EXAMPLES):
        yield from source.__getitems__(indices[start : start + _READ_EXAMPLES].tolist())


@contextlib.contextmanager
def _naming(where: str, folder: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"{where} cannot be read from {folder} ({type(error).__name__}:"
            f" {error}): delete that folder and prepare it again as array_record"
        ) from error
