"""The three maps of a 1x1 convolution, which are products of matrices.

Every position is a row: ``y = x w``, ``dL/dx = dL/dy w^T``, ``dL/dw = x^T dL/dy``. With
strides, the rows of x are those the window stops at, and the others of dL/dx are zero.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops.conv.problem import ConvProblem
from cnnjax.typing import Window


def suits(problem: ConvProblem) -> bool:
    """Whether every output depends on one position, with all its channels."""
    sides = {side for pair in problem.padding for side in pair}
    ones = {*problem.taps, *problem.input_dilation, problem.groups}
    return ones == {1} and sides == {0}


def forward(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """y: ``(n, *spatial, in), (1.., in, out) -> (n, *positions, out)``."""
    return _product(_seen(x, window), kernel.reshape(kernel.shape[-2:]), window)


def input_gradient(
    dy: jax.Array, kernel: jax.Array, window: Window, sizes: tuple[int, ...]
) -> jax.Array:
    """dx of spatial ``sizes``: ``(n, *positions, out), kernel -> (n, *sizes, in)``."""
    dx = _product(dy, kernel.reshape(kernel.shape[-2:]).T, window)
    if max(window.strides) == 1:
        return dx
    axes = zip(sizes, dy.shape[1:-1], window.strides, strict=True)
    between = [(0, n - (count - 1) * s - 1, s - 1) for n, count, s in axes]
    return lax.pad(dx, jnp.zeros((), dx.dtype), [(0, 0, 0), *between, (0, 0, 0)])


def kernel_gradient(
    x: jax.Array, dy: jax.Array, window: Window, taps: tuple[int, ...]
) -> jax.Array:
    """dw: ``x, dy -> (1.., in, out)``."""
    rows = _rows(_seen(x, window))
    dkernel = jnp.matmul(rows.T, _rows(dy), precision=window.precision)
    return dkernel.reshape(*taps, *dkernel.shape)


def _seen(x, window):
    """The positions that the window stops at."""
    if max(window.strides) == 1:
        return x
    return lax.slice(x, [0] * x.ndim, x.shape, (1, *window.strides, 1))


def _product(x, matrix, window):
    y = jnp.matmul(_rows(x), matrix, precision=window.precision)
    return y.reshape(*x.shape[:-1], matrix.shape[-1])


def _rows(x):
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
