"""Weights and images that are the same on every machine, from names and shapes alone.

``scripts/record_logits.py`` gives them to the networks of torchvision and timm, and the
tests to ours.
"""

import math
import zlib

import numpy as np


def make_array(name, shape):
    """An array of a state dict; its name seeds the generator."""
    draw = np.random.default_rng(zlib.crc32(name.encode())).normal(size=tuple(shape))
    if name.endswith("running_var"):
        draw = 0.5 + np.abs(draw)
    elif len(shape) > 1:
        draw *= math.sqrt(2 / math.prod(shape[1:]))
    elif name.endswith("weight"):
        draw = 1 + 0.1 * draw
    else:
        draw *= 0.1
    return draw.astype(np.float32)


def make_images(shape):
    """Images with channels first, such as ``(2, 3, 64, 64)``."""
    return np.random.default_rng(0).normal(size=tuple(shape)).astype(np.float32)
