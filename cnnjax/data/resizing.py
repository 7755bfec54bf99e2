"""Images of Pillow in the size of an array: what part is kept, how it is scaled."""

from typing import TYPE_CHECKING

from cnnjax.data.tasks import IGNORED_BYTE

if TYPE_CHECKING:  # Pillow is imported where it is used, as it takes 50 ms
    from PIL import Image

    from cnnjax.data.decoding import Decoding

Box = tuple[float, float, float, float]
"""Left, top, right and bottom of a part, as shares of an image's width and height."""


def resize(
    image: "Image.Image",
    decoding: "Decoding",
    box: Box | None,
    *,
    is_mask: bool = False,
) -> "Image.Image":
    """The image in the size that ``decoding`` says.

    Args:
        image: upright.
        decoding: what it is to be.
        box: the part to take; by default what ``decoding.resize`` says.
        is_mask: whether pixels are class numbers, which are not averaged; what
            ``"pad"`` adds is then ignored.
    """
    from PIL import Image

    sampling = Image.Resampling.NEAREST if is_mask else Image.Resampling.BILINEAR
    if decoding.size is None:
        return image
    height, width = decoding.size
    if box is None and decoding.resize == "pad":
        share = min(width / image.width, height / image.height)
        inner = (
            min(width, max(1, round(image.width * share))),
            min(height, max(1, round(image.height * share))),
        )
        small = image.resize(inner, sampling)
        padded = Image.new(image.mode, (width, height), IGNORED_BYTE if is_mask else 0)
        padded.paste(small, ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return padded
    left, top, right, bottom = box or _kept(image.size, decoding)
    part = (
        left * image.width,
        top * image.height,
        right * image.width,
        bottom * image.height,
    )
    if part == (0, 0, width, height) and image.size == (width, height):
        return image
    return image.resize((width, height), sampling, part)


def _kept(size: tuple[int, int], decoding: "Decoding") -> Box:
    """The part of an image of ``size`` (width, height) that is kept, as shares."""
    if decoding.resize != "crop" or decoding.size is None:
        return 0.0, 0.0, 1.0, 1.0
    height, width = decoding.size
    scale = max(width / size[0], height / size[1])
    x = min(1.0, width / scale / size[0]) * decoding.crop_fraction
    y = min(1.0, height / scale / size[1]) * decoding.crop_fraction
    return (1 - x) / 2, (1 - y) / 2, (1 + x) / 2, (1 + y) / 2


def draft_size(
    size: tuple[int, int], decoding: "Decoding", box: Box | None, turned: bool
) -> tuple[int, int]:
    """The size (width, height) that a JPEG image needs to be decoded at, as stored."""
    if turned:
        size = size[1], size[0]
    height, width = decoding.size or (1, 1)
    left, top, right, bottom = box or _kept(size, decoding)
    needed = (int(width / (right - left)), int(height / (bottom - top)))
    return (needed[1], needed[0]) if turned else needed
