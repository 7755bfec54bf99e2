"""Image files as arrays: decoded, turned upright, converted and resized by Pillow."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnnjax.data.resizing import Box, draft_size, resize
from cnnjax.errors import DataError
from cnnjax.files import open_regular

if TYPE_CHECKING:  # Pillow is imported where it is used, as it takes 50 ms
    from PIL import Image

VERSION = 1
"""Of this module: raised whenever a file would become another array."""

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What is read, by Pillow's names; the content decides, not the file's ending."""

ENDINGS = (
    *(".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff"),
    ".webp",
)
"""The endings of image files in a folder, in lower case."""

MAX_PIXELS = 2**26
"""The most pixels of one image, 67 million; a larger one is taken for a bomb."""

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's names for images of so many channels."""

_DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # gray with more than 8 bits
_GRAY = ("1", "L", "LA", "La", *_DEEP)
_TURNED = range(5, 9)  # EXIF orientations that exchange height and width
_PNG_MARKS = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
"""One of these is in each PNG file with an orientation."""


class Decoding(NamedTuple):
    """How image files become arrays ``(height, width, channels)``.

    Attributes:
        size: height and width; ``None`` leaves each image as large as it is.
        resize: ``"crop"`` takes the center of the largest part with the shape of
            ``size``; ``"squash"`` ignores the aspect ratio; ``"pad"`` shows the whole
            image between black margins.
        crop_fraction: with ``"crop"``, the share of that part's height and width that
            is kept.
        channels: 1 (gray), 3 (red, green, blue) or 4 (with opacity).
        deep: whether gray values have 16 bits, as float32 from 0 to 65535, instead of
            8 bits, as uint8.
    """

    size: tuple[int, int] | None = None
    resize: str = "crop"
    crop_fraction: float = 1.0
    channels: int = 3
    deep: bool = False

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the arrays."""
        return np.dtype(np.float32 if self.deep else np.uint8)


class Header(NamedTuple):
    """What the start of an image file says.

    Attributes:
        size: height and width of the upright image.
        is_gray: whether it has one channel, apart from opacity.
        is_deep: whether gray values have more than 8 bits.
    """

    size: tuple[int, int]
    is_gray: bool
    is_deep: bool


def read_header(content: bytes, name: str) -> Header:
    """Reads size and colors of an image file without decoding it.

    Raises:
        DataError: no image, a damaged one, or one with too many pixels.
    """

    def read(image: "Image.Image") -> Header:
        width, height = image.size
        # To look for an orientation behind the pixels, Pillow would decode a PNG file.
        may_turn = image.format != "PNG" or any(mark in content for mark in _PNG_MARKS)
        if may_turn and _orientation(image) in _TURNED:
            width, height = height, width
        is_gray = image.mode in _GRAY or (image.mode == "P" and _has_gray(image))
        return Header((height, width), is_gray, image.mode in _DEEP)

    return open_image(content, name, read)


def decode(
    content: bytes,
    decoding: Decoding,
    name: str,
    choose: Callable[[float], Box] | None = None,
) -> np.ndarray:
    """Decodes an image file to an array ``(height, width, channels)``.

    The orientation that a camera noted is applied. Transparent parts are shown on
    white. Colors are converted to gray or to RGB as Pillow does, and 16 bits to 8 by
    dividing by 257. Of an animation, the first frame counts. Images are resized with
    Pillow's antialiased bilinear filter; a JPEG file that is at least twice too large
    is decoded at a fraction of its size.

    Args:
        content: of the file.
        decoding: what the array is to be.
        name: of the file, for messages.
        choose: from the width over the height of the upright image to the part that is
            resized to ``decoding.size``; by default what ``decoding.resize`` says.

    Raises:
        DataError: no image, a damaged one, or one with too many pixels.
    """

    def read(image: "Image.Image") -> np.ndarray:
        turned = _orientation(image) in _TURNED
        width, height = image.size[::-1] if turned else image.size
        box = choose(width / height) if choose else None
        if decoding.size and image.format in ("JPEG", "MPO"):
            image.draft(None, draft_size(image.size, decoding, box, turned))
        return _as_array(resize(_convert(upright(image), decoding), decoding, box))

    return open_image(content, name, read)


def versions() -> dict[str, str | int | None]:
    """The versions of all that decodes; with others, arrays may differ."""
    import PIL
    from PIL import features

    libraries = {name: features.version(name) for name in ("jpg", "libtiff", "webp")}
    return {"cnnjax": VERSION, "pillow": PIL.__version__, **libraries}


def open_image(
    content: bytes,
    name: str,
    read: "Callable[[Image.Image], Any]",
    what: str = "an image",
) -> Any:
    """What ``read`` makes of an image.

    Raises:
        DataError: whatever is wrong with the file.
    """
    from PIL import Image

    if not content:
        raise DataError(f"{name} cannot be read as {what}: it is empty")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise Image.DecompressionBombError
            return read(image)
    except Image.UnidentifiedImageError as error:
        raise DataError(
            f"{name} cannot be read as {what}: it is none of {', '.join(FORMATS)}"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"{name} cannot be read as {what}: it has more than {MAX_PIXELS:,} pixels"
        ) from error
    except Exception as error:  # Pillow's formats raise many kinds of errors
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"{name} cannot be read as {what}: {reason}") from error


def upright(image: "Image.Image") -> "Image.Image":
    """The image, turned as the camera noted."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(image) if _orientation(image) > 1 else image


def _orientation(image: "Image.Image") -> int:
    found = image.getexif().get(0x0112, 1)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _has_gray(image: "Image.Image") -> bool:
    """Whether a palette holds gray tones only."""
    colors = np.asarray(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    return bool((colors == colors[:, :1]).all())


def _convert(image: "Image.Image", decoding: Decoding) -> "Image.Image":
    """The image in the mode of the array: L, RGB, RGBA, or F for 16-bit gray."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError(
            "its values are floating-point numbers of unknown range; convert it to"
            " 8-bit or 16-bit integers"
        )
    if image.mode in _DEEP:
        values = np.asarray(image, np.float32)
        if not 0 <= values.min() <= values.max() <= 65535:
            raise ValueError(
                f"its values are from {values.min():g} to {values.max():g}, expected 0"
                " to 65535"
            )
        if decoding.deep:
            return Image.fromarray(values)
        image = Image.fromarray(np.round(values / 257).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        if decoding.channels < 4:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
    image = image.convert(MODES[decoding.channels])
    if decoding.deep:  # an image with 8 bits among others with 16
        return Image.fromarray(np.asarray(image, np.float32) * 257)
    return image


def _as_array(image: "Image.Image") -> np.ndarray:
    array = np.asarray(image)
    return array if array.ndim == 3 else array[..., None]


def read_bytes(path: str | Path) -> bytes:
    """The content of a regular file.

    Raises:
        DataError: a file that is missing, unreadable, or something else than a file.
    """
    try:
        with open_regular(path) as file:
            return file.read()
    except (OSError, ValueError) as error:  # a path may hold a null byte
        reason = getattr(error, "strerror", None) or str(error).removeprefix(
            f"{path} is "
        )
        raise DataError(f"{path} cannot be read as an image: {reason}") from error
