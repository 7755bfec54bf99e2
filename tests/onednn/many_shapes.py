"""A program that meets many shapes and watches how much memory the process holds.

``python -m tests.onednn.many_shapes 10000`` prints it as it goes; ``test_memory.py``
runs a shorter one.
"""

import sys
from pathlib import Path

import jax
import numpy as np

from cnnjax.onednn import conv
from cnnjax.typing import Window

EVERY = 250
WINDOW = Window((1,), ((1, 1),), (1,), (1,))


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def meet(number: int) -> None:
    """A forward pass and a kernel gradient of a shape that nobody had before.

    Primitives of long signals are larger; an order at random keeps that apart.
    """
    place = number * 7919 % 10007
    x = np.ones((1 + place % 7, 3 + place // 7, 16), np.float32)
    kernel = np.ones((3, 16, 16), np.float32)
    y = conv.forward(x, kernel, WINDOW)
    conv.kernel_gradient(x, y, WINDOW, (3,)).block_until_ready()


def main(count: int) -> None:
    for number in range(count):
        meet(number)
        if (number + 1) % EVERY == 0:
            jax.clear_caches()  # XLA's programs are not what is measured
            print(number + 1, round(resident_megabytes()), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
