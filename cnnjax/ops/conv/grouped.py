"""Two maps of a convolution in a few groups as one convolution each, for CPUs.

XLA's own grouped convolution on a CPU lacks the fast matrix product that each group
alone would get.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from cnnjax.ops.conv import xla
from cnnjax.typing import Window


def forward(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """y: ``(n, *spatial, in), (*taps, in/groups, out) -> (n, *positions, out)``."""
    return _each(xla.forward, x, kernel, window)


def input_gradient(
    dy: jax.Array, kernel: jax.Array, window: Window, sizes: tuple[int, ...]
) -> jax.Array:
    """dx of spatial ``sizes``."""
    return _each(xla.input_gradient, dy, kernel, window, sizes)


def _each(function: Callable, x, kernel, window, *static):
    arrays = [jnp.split(a, window.groups, axis=-1) for a in (x, kernel)]
    one = window._replace(groups=1)
    parts = [function(*pair, one, *static) for pair in zip(*arrays, strict=True)]
    return jnp.concatenate(parts, -1)
