"""Masks: PNG files whose pixels are class numbers, read and written."""

import io
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from cnnjax import progress
from cnnjax.data.decoding import Decoding, open_image, read_header, upright
from cnnjax.data.encoded_images import EncodedImages
from cnnjax.data.resizing import resize
from cnnjax.data.size import check_size
from cnnjax.errors import DataError

_MODES = ("1", "L", "P")
"""Pillow's names for black and white, gray with 8 bits, and numbers of a palette."""

_SCALED = (b"\x02\x00", b"\x04\x00")
"""Bits and kind in a PNG file of gray with 2 or 4 bits, which Pillow scales to 8."""


def decode_mask(
    content: bytes, decoding: Decoding, name: str, size: tuple[int, int]
) -> np.ndarray:
    """The class number of each pixel ``(height, width)``, uint8.

    The mask is cropped and resized like its image, but each pixel takes the class of
    the nearest one. The numbers of a palette are the class numbers, whatever its
    colors.

    Args:
        content: of the file.
        decoding: how its image becomes an array.
        name: of the file, for messages.
        size: height and width of its image, upright, before it is resized.

    Raises:
        DataError: no image, a damaged one, one of another size, or one in color.
    """
    from PIL import Image

    def read(image: Any) -> np.ndarray:
        scaled = image.format == "PNG" and content[24:26] in _SCALED
        if image.mode not in _MODES or scaled:
            raise ValueError(
                f"its pixels are {image.mode}, expected class numbers; save it as"
                " 8-bit grayscale, or with a palette"
            )
        image = Image.fromarray(np.asarray(upright(image)).astype(np.uint8))
        found = (image.height, image.width)
        if found != size:
            raise ValueError(
                f"it has {found[0]} x {found[1]} pixels, but its image has {size[0]} x"
                f" {size[1]} (height x width)"
            )
        return np.asarray(resize(image, decoding, None, is_mask=True))

    return open_image(content, name, read, "a mask")


def read_masks(
    images: EncodedImages,
    masks: EncodedImages,
    decoding: Decoding,
    shape: Sequence[int],
    workers: int,
    chosen: np.ndarray,
) -> np.ndarray:
    """The masks of some images, uint8 ``(k, height, width)``.

    Args:
        images: to which they belong.
        masks: in the order of the images.
        decoding: how images become arrays.
        shape: of these arrays.
        workers: threads that decode; 0 decodes in this one.
        chosen: the numbers of the images ``(k,)``.

    Raises:
        DataError: a mask that does not fit its image, or cannot be read.
    """

    def read(number: int) -> np.ndarray:
        image_name, name = str(images.names[number]), str(masks.names[number])
        size = read_header(images.read(number), image_name).size
        return decode_mask(masks.read(number), decoding, name, size)

    found_shape = (len(chosen), *shape[:2])
    check_size("the label maps of a split", math.prod(found_shape))
    maps = np.empty(found_shape, np.uint8)
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        for place, found in enumerate(pool.map(read, chosen.tolist())):
            maps[place] = found
            progress.tell("reading masks", place + 1, len(chosen))
    return maps


def encode_mask(labels: np.ndarray) -> bytes:
    """A PNG file with the class number of each pixel, and a palette to look at it.

    Args:
        labels: class numbers ``(height, width)``, 0 to 255.

    Raises:
        DataError: another number, or other axes.
    """
    from PIL import Image

    if labels.ndim != 2 or not 0 <= labels.min() <= labels.max() <= 255:
        raise DataError(
            f"the labels have shape {labels.shape} and values from {labels.min()} to"
            f" {labels.max()}: a PNG file takes (height, width) and 0 to 255"
        )
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(palette().tobytes())
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


def palette() -> np.ndarray:
    """A color for each class number, uint8 ``(256, 3)``, as different as possible.

    Class 0 is black. Every third bit of a number, the lowest first, is a bit of the
    same color channel, the highest first; these are the colors of PASCAL VOC.
    """
    numbers = np.arange(256, dtype=np.uint8)
    colors = np.zeros((256, 3), np.uint8)
    for place in range(8):
        channel, depth = place % 3, 7 - place // 3
        colors[:, channel] |= ((numbers >> place) & 1) << depth
    return colors
