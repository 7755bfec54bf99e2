"""The input gradient of a strided convolution in polyphase form, for CPUs.

With stride s, pixel ``i = s m + r`` meets only those taps k that leave the remainder
``(r + p) mod s``. So for each of the s remainders, the gradient is a dense convolution
of dy with every s-th tap, and these components are interleaved::

    dL/dx_(s m + r) = sum_t dL/dy_(m + q - t) w_(s t + b),    q, b = divmod(r + p, s)

As one convolution, dy would have s - 1 zeros between its values, and all but one of
``s^axes`` products would be with a zero.
"""

import math

import jax
import jax.numpy as jnp

from cnnjax.ops.conv import im2col, xla
from cnnjax.ops.conv.problem import ConvProblem
from cnnjax.ops.gradient import vary_alike
from cnnjax.ops.taps import LARGEST_UNROLLED
from cnnjax.typing import Window

FEWEST_INPUTS = 16
"""With fewer channels of x, the products of a component are too narrow."""


def suits(problem: ConvProblem) -> bool:
    """Whether polyphase saves more products than it costs to interleave its components.

    If a kernel has no more taps than the stride, most components are one product or
    none; if x has few channels, the products are narrow. In 1-D, XLA saves as much by
    itself.
    """
    axes = list(zip(problem.taps, problem.strides, strict=True))
    dense = {*problem.dilation, *problem.input_dilation, problem.groups} == {1}
    saves = len(axes) > 1 and all(taps > stride for taps, stride in axes if stride > 1)
    enough = problem.kernel[-2] >= FEWEST_INPUTS
    return dense and saves and enough and math.prod(problem.strides) <= LARGEST_UNROLLED


def input_gradient(
    dy: jax.Array, kernel: jax.Array, window: Window, sizes: tuple[int, ...]
) -> jax.Array:
    """dx of spatial ``sizes``: ``(n, *positions, out), kernel -> (n, *sizes, in)``."""
    counts = tuple(-(-n // s) for n, s in zip(sizes, window.strides, strict=True))
    dx = _interleave(dy, kernel, window, counts, 0)
    return dx[(slice(None), *(slice(n) for n in sizes))]


def _interleave(dy, kernel, window, counts, axis):
    """The components of this axis and those after it, ``counts`` pixels each."""
    if 0 in kernel.shape:
        zeros = jnp.zeros((dy.shape[0], *counts, kernel.shape[-2]), dy.dtype)
        return vary_alike(zeros, dy)[0]
    if set(window.strides) == {1}:
        dense = im2col if len(counts) == 3 else xla
        return dense.input_gradient(dy, kernel, window, counts)
    stride, low = window.strides[axis], window.padding[axis][0]
    components = []
    for remainder in range(stride):
        quotient, first = divmod(remainder + low, stride)
        part = window._replace(
            strides=_put(window.strides, axis, 1),
            padding=_put(window.padding, axis, (quotient, 0)),
        )
        taps = kernel[(slice(None),) * axis + (slice(first, None, stride),)]
        components.append(_interleave(dy, taps, part, counts, axis + 1))
    dx = jnp.stack(components, axis + 2)
    size = counts[axis] * stride
    return dx.reshape(*dx.shape[: axis + 1], size, *dx.shape[axis + 3 :])


def _put(values, axis, value):
    return (*values[:axis], value, *values[axis + 1 :])
