"""Random parts of images, which training sees instead of the whole."""

import numpy as np

from cnnjax.data.decoding import Box

_LOG_RATIO = float(np.log(4 / 3))


def random_box(
    random: np.random.Generator, aspect: float, least: float, most: float
) -> Box:
    """A random part of an image, as in Inception's training (arXiv:1409.4842).

    Its share of the area is uniform, and the logarithm of its own aspect ratio uniform
    between 3/4 and 4/3. After ten parts that do not fit, it is the largest one with an
    aspect ratio in that range, in the center.

    Args:
        random: where the numbers come from.
        aspect: width over height of the image.
        least: the smallest share of the area, above 0.
        most: the largest.
    """
    for _ in range(10):
        area = random.uniform(least, most)
        ratio = np.exp(random.uniform(-_LOG_RATIO, _LOG_RATIO)) / aspect
        x, y = float(np.sqrt(area * ratio)), float(np.sqrt(area / ratio))
        if x <= 1 and y <= 1:
            left, top = random.uniform(0, 1 - x), random.uniform(0, 1 - y)
            return left, top, left + x, top + y
    limit = float(np.exp(_LOG_RATIO))
    x, y = min(1.0, limit / aspect), min(1.0, limit * aspect)
    return (1 - x) / 2, (1 - y) / 2, (1 + x) / 2, (1 + y) / 2
