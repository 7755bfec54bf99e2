"""A program that meets many shapes and watches how much memory the process holds.

``python -m tests.support.native.many_shapes 10000`` prints it as it goes;
``test_memory.py`` runs a shorter one.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp

from cnnjax.native import conv
from cnnjax.typing import Window

EVERY, AT_ONCE = 250, 25
WINDOW = Window((1,), ((1, 1),), (1,), (1,))


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def meet(numbers: range) -> None:
    """A forward pass and a kernel gradient of shapes that nobody had before.

    Primitives of long signals are larger; an order at random keeps that apart. Of one
    program for many shapes, XLA's own share is small.
    """

    def maps() -> list[tuple[jax.Array, jax.Array]]:
        return [_maps_of(number) for number in numbers]

    jax.block_until_ready(jax.jit(maps)())


def _maps_of(number: int) -> tuple[jax.Array, jax.Array]:
    place = number * 7919 % 10007
    x = jnp.ones((1 + place % 7, 3 + place // 7, 16))
    y = conv.forward(x, jnp.ones((3, 16, 16)), WINDOW)
    return y, conv.kernel_gradient(x, y, WINDOW, (3,))


def main(count: int) -> None:
    for number in range(0, count, AT_ONCE):
        meet(range(number, number + AT_ONCE))
        if (number + AT_ONCE) % EVERY == 0:
            jax.clear_caches()  # XLA's programs are not what is measured
            print(number + AT_ONCE, round(resident_megabytes()), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
