"""Maps of the colors of one image: channels first, pixels from 0 to 1, not random.

Each keeps the shape ``(channels, *spatial)``. Channels come first because the loops of
a CPU then run over whole rows of pixels.
"""

from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Planes = Float[Array, "c *spatial"]

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114  # of the luminance, ITU-R 601
_TOLERANCE = 0.25 / 255  # rounding by the normalization must not decide


def gray(x: Planes) -> Planes:
    """The luminance, as one channel; a single channel is its own."""
    if len(x) == 1:
        return x
    return _RED * x[:1] + _GREEN * x[1:2] + _BLUE * x[2:3]


def blend(reference: Any, x: Planes, factor: Any) -> Planes:
    """From ``reference`` (factor 0) to ``x`` (factor 1) and beyond, within 0..1."""
    return jnp.clip(reference + factor * (x - reference), 0, 1)


def brighten(x: Planes, factor: Any) -> Planes:
    """Brightness: black at 0, the image at 1."""
    return blend(0.0, x, factor)


def contrast(x: Planes, factor: Any) -> Planes:
    """Contrast: the mean of the luminance at 0, the image at 1."""
    return blend(gray(x).mean(), x, factor)


def saturate(x: Planes, factor: Any) -> Planes:
    """Saturation: the luminance at 0, the image at 1."""
    return blend(gray(x), x, factor)


def sharpen(x: Planes, factor: Any) -> Planes:
    """Sharpness: a smoothed image at 0, the image at 1."""
    return blend(smooth(x), x, factor)


def smooth(x: Planes) -> Planes:
    """Mean over 3 pixels along each axis, the middle one added 4 times more.

    In 2-D, the weights are 1 around and 5 in the middle, over 13, as in Pillow and
    torchvision. Pixels at the edge stay as they are.
    """
    if min(x.shape[1:]) < 3:
        return x
    total, middle = x, x
    for axis in range(1, x.ndim):
        end = x.shape[axis]
        a, b, c = (lax.slice_in_dim(total, i, end - 2 + i, axis=axis) for i in range(3))
        total = a + b + c
        middle = lax.slice_in_dim(middle, 1, end - 1, axis=axis)
    inner = (total + 4 * middle) / (3 ** (x.ndim - 1) + 4)
    return lax.dynamic_update_slice(x, inner, (0, *[1] * (x.ndim - 1)))


def shift_hue(x: Planes, shift: Any) -> Planes:
    """Turns the hue by a share of the circle of colors; one channel has none."""
    if len(x) == 1:
        return x
    red, green, blue = x
    value, low = x.max(0), x.min(0)
    chroma = value - low
    divisor = jnp.where(chroma > 0, chroma, 1)
    hue = jnp.where(
        (red >= green) & (red >= blue),
        (green - blue) / divisor,
        jnp.where(
            green >= blue, 2 + (blue - red) / divisor, 4 + (red - green) / divisor
        ),
    )
    hue = hue + 6 * shift

    def channel(offset):
        k = jnp.mod(offset + hue, 6)
        return value - chroma * jnp.clip(jnp.minimum(k, 4 - k), 0, 1)

    return jnp.stack([channel(5), channel(3), channel(1)])


def invert(x: Planes) -> Planes:
    """The negative."""
    return 1 - x


def solarize(x: Planes, threshold: Any) -> Planes:
    """The negative of all pixels from ``threshold`` on."""
    return jnp.where(x > threshold - _TOLERANCE, 1 - x, x)


def posterize(x: Planes, steps: Any) -> Planes:
    """Rounds pixels from 0 to 255 down to multiples of ``steps``, a power of 2."""
    return jnp.floor(jnp.round(255 * x) / steps) * steps / 255


def autocontrast(x: Planes) -> Planes:
    """Stretches each channel to the range from 0 to 1; a constant one stays."""
    axes = tuple(range(1, x.ndim))
    low, high = x.min(axes, keepdims=True), x.max(axes, keepdims=True)
    width = high - low
    varied = width > _TOLERANCE
    return jnp.where(varied, (x - low) / jnp.where(varied, width, 1), x)


def equalize(x: Planes) -> Planes:
    """Makes the 256 values of each channel about equally frequent, as Pillow does.

    With c(v) pixels below the value v, the new value is ``(c(v) + step // 2) // step``,
    where step is 1/255 of the pixels without those of the largest value.
    """
    levels = jnp.round(255 * x).astype(jnp.int32).reshape(len(x), -1)
    channels = jnp.arange(len(x))[:, None]
    counts = jnp.zeros((len(x), 256), jnp.int32)
    counts = counts.at[channels, levels].add(1, mode="promise_in_bounds")
    largest = levels.max(axis=1)
    pixels = levels.shape[1] - counts[channels[:, 0], largest]
    step = (pixels // 255)[:, None]
    below = jnp.cumsum(counts, axis=1) - counts
    table = jnp.minimum((below + step // 2) // jnp.maximum(step, 1), 255) / 255
    table = lax.optimization_barrier(table)  # or a CPU would divide for each pixel
    found = table.at[channels, levels].get(mode="promise_in_bounds").reshape(x.shape)
    unchanged = (step == 0).reshape(-1, *[1] * (x.ndim - 1))
    return jnp.where(unchanged, x, found)
