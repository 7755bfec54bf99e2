"""Images and labels in an HDF5 file, which needs the package h5py."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.data.dataset import SPLITS, RawDataset, Split
from cnnjax.data.pixels import pixel_dtype
from cnnjax.data.size import check_size
from cnnjax.data.sources.argument import parse_argument
from cnnjax.data.sources.npz import add_channels, check_channels, find_keys
from cnnjax.data.stream import StreamedImages
from cnnjax.errors import DataError, NotRegularError
from cnnjax.files import open_regular


def load_hdf5(argument: str, only: str | None = None) -> RawDataset:
    """Reads arrays by the names that ``load_npz`` knows, such as ``x_train``.

    Args:
      argument: ``file``, with the options ``channels`` and ``classes`` of ``load_npz``.
      only: the one split to read; by default all that there are.

    Raises:
      DataError: if h5py is not installed, or the file is damaged, lacks an array, or
        takes one from another file.
    """
    return _load(argument, _read_array, only)


def stream_hdf5(argument: str, only: str | None = None) -> RawDataset:
    """Like ``load_hdf5``, but leaves the images on disk."""
    return _load(argument, _open_array, only)


def _load(argument: str, read_images: Callable, only: str | None) -> RawDataset:
    path, options = parsed = parse_argument("hdf5", argument, {"channels", "classes"})
    channels, num_classes = options.get("channels"), parsed.num_classes
    check_channels(channels)
    try:
        import h5py
    except ImportError as error:
        raise DataError(
            "'hdf5' needs the package h5py: pip install h5py, or convert the file to"
            " npz"
        ) from error
    try:
        with open_regular(path) as opened, h5py.File(opened, "r") as file:
            names = set(map(str, file))
            splits = {
                name: Split(
                    add_channels(read_images(file, x, path), channels, path),
                    _read_array(file, y, path),
                )
                for name, (x, y) in find_keys(names, path).items()
                if only in (None, name)
            }
            class_names = None
            if "class_names" in names:
                values = _read_array(file, "class_names", path).tolist()
                class_names = [_text(value) for value in values]
    except NotRegularError as error:
        raise DataError(f"{error}: name an HDF5 file") from error
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read as an HDF5 file: {reason}") from error
    return RawDataset(
        *map(splits.get, SPLITS), num_classes=num_classes, class_names=class_names
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _find(file: Any, key: str, path: Path) -> Any:
    """An array of the file itself.

    Raises:
      DataError: something else, or an array that lies in another file.
    """
    import h5py

    link = file.get(key, getlink=True)
    array = file[key] if isinstance(link, h5py.HardLink) else None
    if not isinstance(array, h5py.Dataset) or array.is_virtual or array.external:
        raise DataError(f"{key!r} in {path} is not an array stored in this file")
    return array


def _read_array(file: Any, key: str, path: Path) -> np.ndarray:
    array = _find(file, key, path)
    check_size(f"{key} in {path}", array.size * array.dtype.itemsize)
    return array[()]


def _open_array(file: Any, key: str, path: Path) -> StreamedImages:
    array = _find(file, key, path)
    if array.ndim < 2 or 0 in array.shape:
        raise DataError(f"{key} in {path} has shape {array.shape}: expected images")
    name = f"{path}[{key}]"
    dtype = pixel_dtype(name, array.dtype)
    absolute = path.absolute()

    def read(indices: np.ndarray) -> np.ndarray:
        import h5py

        try:
            with open_regular(absolute) as opened, h5py.File(opened, "r") as file:
                sorted_once, places = np.unique(indices, return_inverse=True)
                return _find(file, key, absolute)[sorted_once][places]
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise DataError(
                f"{absolute} can no longer be read ({error}): restore the original"
                " file, and rerun the same command"
            ) from error

    numbers = np.arange(array.shape[0])
    return StreamedImages(name, read, array.shape[1:], dtype, numbers)
