"""Convolutions of an exported program that XLA computes slowly on a CPU.

XLA exchanges image and kernel where the kernel has more taps than the image has places,
and computes the result, like every convolution in 3-D, without matrix products. It
computes a depthwise convolution channel by channel. On a CPU, the exported program
therefore adds up taps, ``y[o] = sum_k x[s o + d k - p] w[k]``: with one matrix product
for each tap of a small image, one product of whole images for each tap of a depthwise
convolution, and one convolution in 2-D for each tap of the first axis in 3-D. Other
platforms run XLA's own convolution.
"""

import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp

from cnnjax.ops.channels import per_channel
from cnnjax.ops.conv import depthwise, maps, xla
from cnnjax.ops.conv.problem import ConvProblem, Execution
from cnnjax.ops.dtype import widened
from cnnjax.ops.gradient import CustomVJP
from cnnjax.ops.taps import tap_slices
from cnnjax.typing import Window


def replace(function: CustomVJP, args: tuple, kwargs: dict[str, Any]) -> Any:
    """A convolution that is fast on every platform; see ``ops.gradient.substituted``.

    Any other operation, and any convolution that XLA computes fast, is left alone.
    """
    if function not in (maps.forward, maps.biased, maps.biased_relu) or kwargs:
        return NotImplemented
    *arrays, problem, execution = args
    if not is_slow(problem):
        return NotImplemented
    y = _forward(arrays[0], arrays[1], problem, execution)
    if len(arrays) == 3:
        y = y + per_channel(arrays[2], y.ndim)
    return jnp.maximum(y, 0) if function is maps.biased_relu else y


def is_slow(problem: ConvProblem) -> bool:
    """Whether XLA computes a convolution slowly on a CPU."""
    if depthwise.suits(problem):
        return True
    if problem.groups > 1 or max(problem.input_dilation) > 1:
        return False
    is_volume = len(problem.taps) == 3 and math.prod(problem.taps) > 1
    return is_volume or _are_exchanged(problem.x, problem.kernel)


def _are_exchanged(x, kernel):
    return math.prod(kernel[:-2]) > math.prod(x[1:-1])


def _forward(x, kernel, problem: ConvProblem, execution: Execution):
    """y, with the taps added up on a CPU."""
    window = problem.window(execution.precision)
    on_cpu = depthwise.forward if depthwise.suits(problem) else sum_of_taps
    return jax.lax.platform_dependent(
        *(x, kernel),
        cpu=functools.partial(on_cpu, window=window),
        default=functools.partial(xla.stock_forward, window=window),
    )


def sum_of_taps(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """y as a sum over taps, without groups; half precision is summed in float32."""
    taps, total = kernel.shape[:-2], 0
    x, kernel, dtype = widened(x), widened(kernel), x.dtype
    if _are_exchanged(x.shape, kernel.shape):
        places = itertools.product(*map(range, taps))
        for tap, part in zip(places, tap_slices(x, taps, window, 0), strict=True):
            total += jnp.matmul(part, kernel[tap], precision=window.precision)
        return jnp.asarray(total, dtype)
    first, rest = _axes(window, slice(1)), _axes(window, slice(1, None))
    depth, spatial = taps[0], x.shape[2:-1]
    rows = x.reshape(*x.shape[:2], -1)
    for tap, part in enumerate(tap_slices(rows, (depth,), first, 0)):
        images = part.reshape(-1, *spatial, x.shape[-1])
        y = _image(images, kernel[tap], rest)
        total += y.reshape(x.shape[0], part.shape[1], *y.shape[1:])
    return jnp.asarray(total, dtype)


def _axes(window, axes):
    """The window on some of the spatial axes."""
    return window._replace(
        strides=window.strides[axes],
        padding=window.padding[axes],
        dilation=window.dilation[axes],
        input_dilation=window.input_dilation[axes],
    )


def _image(x, kernel, window):
    """A convolution in 2-D."""
    is_slow = _are_exchanged(x.shape, kernel.shape)
    return (sum_of_taps if is_slow else xla.stock_forward)(x, kernel, window)
