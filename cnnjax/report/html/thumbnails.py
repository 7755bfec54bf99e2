"""Small pictures of examples as data URIs, within a limit of their total size."""

import base64
import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from cnnjax.data import Split
from cnnjax.report.pictures import draw_small, find_scale

SIZE = 96
"""The longer side of the largest picture, in pixels."""
MOST_CHARACTERS = 1_500_000
"""Of all data URIs of examples of the test split together."""
BATCH = 64
"""Images that are read at once."""


def make_thumbnails(
    split: Split, numbers: Iterable[int], most: int = MOST_CHARACTERS
) -> dict[int, str]:
    """A data URI for each of some examples, in their order until the limit is reached.

    Args:
        split: which holds them.
        numbers: of the examples; repeated ones are drawn once.
        most: characters of all data URIs together.

    Raises:
        DataError: an image that cannot be read.
        OSError: a file that is gone.
    """
    wanted = [*dict.fromkeys(numbers)]
    found: dict[int, str] = {}
    scale, left = None, most
    for begin in range(0, len(wanted), BATCH):
        chosen = sorted(wanted[begin : begin + BATCH])
        images = np.asarray(split.images[np.array(chosen)])
        scale = scale or find_scale([images], images.dtype)
        for number in wanted[begin : begin + BATCH]:
            image = images[chosen.index(number)].astype(np.float64)
            uri = as_uri(draw_small(image, scale, SIZE))
            left -= len(uri)
            if left < 0:
                return found
            found[number] = uri
    return found


def as_uri(picture: Image.Image) -> str:
    """A picture as a data URI: a PNG file, or WebP for a large one in color."""
    forms = [("png", {"optimize": True})]
    if picture.mode == "RGB" and max(picture.size) > SIZE // 2:
        forms = [("webp", {"quality": 80, "method": 4})]
    [(form, options)] = forms
    file = io.BytesIO()
    picture.save(file, form, **options)
    return f"data:image/{form};base64,{base64.b64encode(file.getvalue()).decode()}"
