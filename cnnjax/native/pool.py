"""The maps of the poolings, computed by loops over the channels in C++.

Each is a custom call with the same shapes as in ``cnnjax.ops.pool.xla``. Under ``vmap``
all arrays get the mapped axes in front, which the C++ side takes for more images.
"""

import math
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from cnnjax.native import library
from cnnjax.native.call import call_target, positions, result, window_numbers
from cnnjax.typing import Window

DTYPES = ("float32", "bfloat16")
MOST_TAPS = 256  # the index of the maximum is a byte
FEWEST_CHANNELS = 8  # they fill a vector
Shape = tuple[int, ...]


class Pooling(Protocol):
    """What these maps read of a ``cnnjax.ops.pool.problem.PoolProblem``."""

    @property
    def taps(self) -> Shape:
        """Size of the window on each spatial axis."""
        ...

    @property
    def window(self) -> Window:
        """How it slides."""
        ...

    @property
    def sizes(self) -> Shape:
        """Spatial sizes of x."""
        ...


def max_and_which(x: jax.Array, problem: Pooling) -> tuple[jax.Array, jax.Array]:
    """y and which: ``(n, *sizes, c) -> (n, *positions, c)``, both."""
    shape = _output_shape(x, problem)
    results = result(shape, x), result(shape, x, jnp.uint8)
    y, which = _call("max_pool", results, problem, x)
    return y, which


def place(dy: jax.Array, which: jax.Array, problem: Pooling) -> jax.Array:
    """dx: ``(n, *positions, c), the same -> (n, *sizes, c)``."""
    shape = (len(dy), *problem.sizes, dy.shape[-1])
    return _call("max_pool_place", result(shape, dy), problem, dy, which)


def window_sum(x: jax.Array, problem: Pooling) -> jax.Array:
    """y: ``(n, *sizes, c) -> (n, *positions, c)``."""
    shape = _output_shape(x, problem)
    return _call("window_sum", result(shape, x), problem, x)


def spread(dy: jax.Array, problem: Pooling) -> jax.Array:
    """dx: ``(n, *positions, c) -> (n, *sizes, c)``."""
    shape = (len(dy), *problem.sizes, dy.shape[-1])
    return _call("window_spread", result(shape, dy), problem, dy)


def refusal(taps: Shape, dtype: Any) -> str:
    """Why the kernels cannot compute windows of these taps; empty where they can."""
    loaded, reason = library.status()
    if str(dtype) not in DTYPES:
        return f"arrays are {dtype}, expected {' or '.join(DTYPES)}"
    if math.prod(taps) > MOST_TAPS:
        return f"the window has {math.prod(taps)} taps, expected at most {MOST_TAPS}"
    return "" if loaded else reason


def _output_shape(x, problem):
    where = positions(problem.sizes, problem.taps, problem.window)
    return (len(x), *where, x.shape[-1])


def _call(name, results, problem, *arrays):
    numbers = {**window_numbers(problem.window), "taps": problem.taps}
    del numbers["high"]  # the shape of y tells
    target = f"cnnjax_{name}_v1"
    return call_target(target, results, "broadcast_all", arrays, numbers)
