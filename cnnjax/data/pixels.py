"""The values of images: uint8, or finite float32."""

from collections.abc import Sequence

import numpy as np

from cnnjax.errors import DataError

_Numbers = Sequence[int] | np.ndarray


def pixel_dtype(name: str, dtype: np.dtype) -> np.dtype:
    """Returns the dtype that images are converted to: float32 for floats, else uint8.

    Args:
      name: what the images are, for the message.
      dtype: dtype in which they are stored.

    Raises:
      DataError: if it is not a float, an integer or a boolean.
    """
    if dtype.kind not in "fbiu":
        raise DataError(f"{name} images have dtype {dtype}: expected uint8 or float32")
    return np.dtype(np.float32 if dtype.kind == "f" else np.uint8)


def convert_pixels(
    name: str, images: np.ndarray, numbers: _Numbers | None = None
) -> np.ndarray:
    """Returns contiguous images as uint8 or finite float32.

    Args:
      name: what the images are, for messages.
      images: images ``(n, *spatial, channels)``.
      numbers: the number of each image in messages; default: 0 to ``n - 1``.

    Raises:
      DataError: if a value is not finite as float32, or an integer outside 0..255.
    """
    dtype = pixel_dtype(name, images.dtype)
    if images.dtype == np.uint8 or not images.size:
        return np.ascontiguousarray(images, dtype)
    if numbers is None:
        numbers = range(len(images))
    if dtype == np.uint8:
        _check_range(name, images, numbers)
        return np.ascontiguousarray(images, dtype)
    with np.errstate(over="ignore"):
        images = np.ascontiguousarray(images, dtype)
    _check_finite(name, images, numbers)
    return images


def _check_range(name: str, images: np.ndarray, numbers: _Numbers) -> None:
    low, high = int(images.min()), int(images.max())
    if low < 0 or high > 255:
        bad = next(i for i, x in enumerate(images) if x.min() < 0 or x.max() > 255)
        raise DataError(
            f"{name} images have dtype {images.dtype} and values from {low} to {high},"
            f" for example in image {numbers[bad]}: expected 0..255; scale them or"
            " store them as float32"
        )


def _check_finite(name: str, images: np.ndarray, numbers: _Numbers) -> None:
    if not (np.isfinite(images.min()) and np.isfinite(images.max())):
        bad = next(i for i, x in enumerate(images) if not np.isfinite(x).all())
        raise DataError(
            f"{name} image {numbers[bad]} holds NaN or infinity (as float32): remove"
            " or repair it"
        )
