"""The three maps of a 1x1 convolution, which are products of matrices.

Every position is a row: ``y = x w``, ``dL/dx = dL/dy w^T``, ``dL/dw = x^T dL/dy``.
"""

import math

import jax
import jax.numpy as jnp

from cnnjax.typing import Window


def suits(kernel_shape: tuple[int, ...], window: Window) -> bool:
    """Whether every output sees one position, and all of its channels."""
    sides = {side for pair in window.padding for side in pair}
    ones = {*kernel_shape[:-2], *window.strides, *window.input_dilation, window.groups}
    return ones == {1} and sides == {0}


def forward(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """y: ``(n, *spatial, in), (1.., in, out) -> (n, *spatial, out)``."""
    return _product(x, kernel.reshape(kernel.shape[-2:]), window)


def input_gradient(
    dy: jax.Array, kernel: jax.Array, window: Window, sizes: tuple[int, ...]
) -> jax.Array:
    """dx, of the positions of dy."""
    return _product(dy, kernel.reshape(kernel.shape[-2:]).T, window)


def kernel_gradient(
    x: jax.Array, dy: jax.Array, window: Window, taps: tuple[int, ...]
) -> jax.Array:
    """dw: ``x, dy -> (1.., in, out)``."""
    dkernel = jnp.matmul(_rows(x).T, _rows(dy), precision=window.precision)
    return dkernel.reshape(*taps, *dkernel.shape)


def _product(x, matrix, window):
    y = jnp.matmul(_rows(x), matrix, precision=window.precision)
    return y.reshape(*x.shape[:-1], matrix.shape[-1])


def _rows(x):
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
