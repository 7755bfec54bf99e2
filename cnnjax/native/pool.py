"""The maps of the poolings, computed by loops over the channels in C++.

Each is a custom call of the same shapes as in ``cnnjax.ops.pool.xla``. Under ``vmap``
all arrays get the mapped axes in front, which are more images to the C++ side.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from cnnjax.native import library
from cnnjax.native.call import call_target, positions, result, window_numbers
from cnnjax.typing import Window

DTYPES = ("float32", "bfloat16")
MOST_TAPS = 256  # the number of the one that wins is a byte
FEWEST_CHANNELS = 8  # they fill a vector
Shape = tuple[int, ...]


def max_and_which(
    x: jax.Array, taps: Shape, window: Window, sizes: Shape
) -> tuple[jax.Array, jax.Array]:
    """y and which: ``(n, *sizes, c) -> (n, *positions, c)``, both."""
    shape = _output_shape(x.shape, taps, window)
    y, which = _call(
        "max_pool", (result(shape, x), result(shape, x, jnp.uint8)), taps, window, x
    )
    return y, which


def place(
    dy: jax.Array, which: jax.Array, taps: Shape, window: Window, sizes: Shape
) -> jax.Array:
    """dx: ``(n, *positions, c), the same -> (n, *sizes, c)``."""
    shape = (len(dy), *sizes, dy.shape[-1])
    return _call("max_pool_place", result(shape, dy), taps, window, dy, which)


def window_sum(x: jax.Array, taps: Shape, window: Window, sizes: Shape) -> jax.Array:
    """y: ``(n, *sizes, c) -> (n, *positions, c)``."""
    shape = _output_shape(x.shape, taps, window)
    return _call("window_sum", result(shape, x), taps, window, x)


def spread(dy: jax.Array, taps: Shape, window: Window, sizes: Shape) -> jax.Array:
    """dx: ``(n, *positions, c) -> (n, *sizes, c)``."""
    shape = (len(dy), *sizes, dy.shape[-1])
    return _call("window_spread", result(shape, dy), taps, window, dy)


def refusal(taps: Shape, dtype: Any) -> str:
    """Why windows of these taps cannot be computed here; empty where they can."""
    loaded, reason = library.status()
    if str(dtype) not in DTYPES:
        return f"arrays are {dtype}, expected {' or '.join(DTYPES)}"
    if math.prod(taps) > MOST_TAPS:
        return f"the window has {math.prod(taps)} taps, expected at most {MOST_TAPS}"
    return "" if loaded else reason


def is_fast(taps: Shape, channels: int) -> bool:
    """Whether these loops are faster than XLA's."""
    return math.prod(taps) > 1 and channels >= FEWEST_CHANNELS


def _output_shape(x, taps, window):
    return (x[0], *positions(x[1:-1], taps, window), x[-1])


def _call(name, results, taps, window, *arrays):
    numbers = {**window_numbers(window), "taps": taps}
    del numbers["high"]  # the shape of y tells
    target = f"cnnjax_{name}_v1"
    return call_target(target, results, "broadcast_all", arrays, numbers)
