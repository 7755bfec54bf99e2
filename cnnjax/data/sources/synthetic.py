"""Random images with random labels, for benchmarks."""

import math
import re

import numpy as np

from cnnjax.data.dataset import RawDataset, Split
from cnnjax.data.permutation import permutation
from cnnjax.data.size import check_size
from cnnjax.errors import DataError, show

_FORM = re.compile(r"(\d{1,12}(?:x\d{1,12}){1,3}),(\d{1,12}),(\d{1,12})", re.ASCII)


def load_synthetic(argument: str = "") -> RawDataset:
    """Makes random uint8 images, always the same ones.

    Args:
      argument: ``<height>x<width>x<channels>,<classes>,<examples>``; ``LxC`` makes
        signals and ``DxHxWxC`` volumes. Classes are equally frequent.

    Raises:
      DataError: if the argument has another form, or a size is 0 or far too large.
    """
    argument = argument or "28x28x1,10,1024"
    form = _FORM.fullmatch(argument)
    if form is None:
        raise DataError(
            f"'synthetic' cannot read {show(argument)}: expected"
            " <height>x<width>x<channels>,<classes>,<examples>, as in 28x28x1,10,1024"
        )
    shape = tuple(map(int, form[1].split("x")))
    num_classes, examples = int(form[2]), int(form[3])
    if 0 in (*shape, num_classes, examples):
        raise DataError(f"'synthetic' got {argument!r}: expected sizes above 0")
    size = math.prod(shape) * examples
    check_size(f"'synthetic:{argument}'", size)
    check_size(f"'synthetic:{argument}'", 8 * examples)
    words = np.random.Philox(0).random_raw(-(-size // 8))
    images = words.view(np.uint8)[:size].reshape(examples, *shape)
    labels = permutation(examples, 1) % num_classes
    return RawDataset(train=Split(images, labels), num_classes=num_classes)
