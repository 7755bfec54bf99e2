"""The three maps of a convolution as products of matrices, for CPUs.

In im2col form, each output position is a row of all the inputs under its window::

    y[(n,o), f]  = sum_(k,c) patches[(n,o), (k,c)] w[(k,c), f]
    dw[(k,c), f] = sum_(n,o) patches[(n,o), (k,c)] dy[(n,o), f]

and the input gradient without strides is the forward map of dy with the kernel rotated.
The patches are larger than x by the number of taps and never exist as a whole: a scan
processes a few images at a time, whose patches stay in the cache between being written
and being multiplied.

Half precision is summed in float32.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.native.conv import output_shape
from cnnjax.ops.conv.xla import rotate_and_exchange
from cnnjax.ops.dtype import widened
from cnnjax.ops.gradient import vary_alike
from cnnjax.ops.taps import tap_slices
from cnnjax.typing import Window

STEP_BYTES = 2**19
"""Size of the patches of one step: a part of any second-level cache."""

MOST_BYTES = 2**25
"""Largest size of the patches of one image."""

FLOATS_PER_LINE = 16


Shape = tuple[int, ...]


def suits(x_shape: Shape, y_shape: Shape, taps: Shape) -> bool:
    """Whether the patches of one image, which cost extra memory, are small enough."""
    return _image_bytes(x_shape, y_shape, taps) <= MOST_BYTES


def forward(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """y: ``(n, *spatial, in), (*taps, in, out) -> (n, *positions, out)``."""
    taps, matrix = kernel.shape[:-2], widened(kernel).reshape(-1, kernel.shape[-1])

    def image(x):
        rows = _patches(widened(x[None]), taps, window)[0]
        y = jnp.matmul(rows, matrix, precision=window.precision)
        return y.astype(x.dtype)

    y_shape = output_shape(x.shape, kernel.shape, window)
    return lax.map(image, x, batch_size=_images_a_step(x.shape, y_shape, taps))


def input_gradient(
    dy: jax.Array, kernel: jax.Array, window: Window, sizes: Shape
) -> jax.Array:
    """dx of spatial ``sizes``, where no stride is more than 1."""
    padding = []
    for axis, size in enumerate(sizes):
        reach = (kernel.shape[axis] - 1) * window.dilation[axis]
        low = reach - window.padding[axis][0]
        padding.append((low, size + reach - dy.shape[1 + axis] - low))
    rotated = rotate_and_exchange(kernel, 1)
    return forward(dy, rotated, window._replace(padding=tuple(padding)))


def kernel_gradient(
    x: jax.Array, dy: jax.Array, window: Window, taps: Shape
) -> jax.Array:
    """dw of spatial size ``taps``: ``x, dy -> (*taps, in/groups, out)``."""
    groups, inputs, outputs = window.groups, x.shape[-1], dy.shape[-1]
    columns = math.prod(taps) * inputs // groups
    # A product copies what it transposes, so transpose the narrow one.
    is_wide = columns > outputs // groups

    def product(x, dy):
        left = _patches(widened(x), taps, window).reshape(-1, columns)
        right = widened(dy).reshape(-1, dy.shape[-1])
        if is_wide:
            left, right = right, left
        return jnp.matmul(left.T, right, precision=window.precision)

    def add(total, images):
        each = jax.vmap(product) if groups > 1 else product
        return total + each(*images), None

    shape = (columns, outputs // groups)[:: -1 if is_wide else 1]
    shape = (groups, *shape) if groups > 1 else shape
    total, *_ = vary_alike(jnp.zeros(shape, widened(x).dtype), x, dy)
    count = _images_a_step(x.shape, dy.shape, taps)
    for part in _parts(len(x), count):
        images = [_split(a[part], groups, count) for a in (x, dy)]
        total, _ = lax.scan(add, total, images)
    total = total.mT if is_wide else total
    total = jnp.moveaxis(total, 0, 1) if groups > 1 else total
    return total.reshape(*taps, -1, outputs).astype(x.dtype)


def _parts(length, count):
    """Slices of ``length`` images: those in whole steps, and the rest."""
    whole = length // count * count
    parts = slice(0, whole), slice(whole, length)
    return [part for part in parts if part.start < part.stop]


def _split(x, groups, count):
    """``(n, *spatial, c) -> (n / count, [groups,] count, *spatial, c / groups)``."""
    steps = (-1, min(count, len(x)), *x.shape[1:-1])
    if groups == 1:
        return x.reshape(*steps, x.shape[-1])
    return jnp.moveaxis(x.reshape(*steps, groups, x.shape[-1] // groups), -2, 1)


def _patches(x, taps, window):
    """What each window covers: ``(n, *positions, taps * c)``.

    Long contiguous runs are copied fastest. So runs shorter than a cache line are first
    made longer: the taps of the last axis form a run for those of the others.
    """
    if x.shape[-1] < FLOATS_PER_LINE and len(taps) > 1:
        ones = (1,) * (len(taps) - 1)
        last = window._replace(
            strides=(*ones, window.strides[-1]), dilation=(*ones, window.dilation[-1])
        )
        x = jnp.concatenate(list(tap_slices(x, (*ones, taps[-1]), last, 0)), -1)
        taps = (*taps[:-1], 1)
        window = window._replace(
            strides=(*window.strides[:-1], 1), padding=((0, 0),) * len(taps)
        )
    return jnp.concatenate(list(tap_slices(x, taps, window, 0)), -1)


def _images_a_step(x_shape, y_shape, taps):
    """How many images fit; fewer, down to half, where that leaves no rest."""
    length, fit = x_shape[0], STEP_BYTES // _image_bytes(x_shape, y_shape, taps)
    fit = max(1, min(length, fit))
    return next((n for n in range(fit, fit // 2, -1) if length % n == 0), fit)


def _image_bytes(x_shape, y_shape, taps):
    return 4 * math.prod(y_shape[1:-1]) * math.prod(taps) * x_shape[-1]
