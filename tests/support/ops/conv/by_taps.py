"""A convolution and its gradients in NumPy, one product of matrices per tap.

The same definition as in ``tests.reference``, fast enough for thousands of problems.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from tests.reference import Geometry, positions


def conv(x, kernel, where: Geometry, groups=1):
    """``y_o = sum_k x_(s o + d k - p) w_k``."""
    outputs = positions(x.shape[1:-1], kernel.shape[:-2], where)
    image = _image(x, where)
    y = np.zeros((len(x), *outputs, groups, kernel.shape[-1] // groups))
    for tap, seen in _taps(kernel.shape[:-2], outputs, where):
        y += np.einsum(
            "n...gi,igo->n...go", _split(image[seen], groups), _tap(kernel, tap, groups)
        )
    return y.reshape(*y.shape[:-2], -1)


def conv_gradients(x, kernel, dy, where: Geometry, groups=1):
    """dx and dw."""
    image = _image(x, where)
    dimage, dkernel = np.zeros_like(image), np.zeros(kernel.shape)
    dy = _split(dy, groups)
    for tap, seen in _taps(kernel.shape[:-2], dy.shape[1:-2], where):
        part = np.einsum("n...go,igo->n...gi", dy, _tap(kernel, tap, groups))
        dimage[seen] += part.reshape(*part.shape[:-2], -1)
        pixels = _split(image[seen], groups)
        part = np.einsum("pgi,pgo->igo", _rows(pixels), _rows(dy))
        dkernel[tap] = part.reshape(dkernel[tap].shape)
    return dimage[_pixels(x.shape, where)], dkernel


def _image(x, where):
    """``x`` spread and padded; the start of the window does the cropping."""
    image = np.zeros((len(x), *_padded(x.shape[1:-1], where), x.shape[-1]))
    image[_pixels(x.shape, where)] = x
    return image


def _padded(sizes, where):
    return [
        max(low, 0) + (n - 1) * spread + 1 + max(high, 0)
        for n, (low, high), spread in zip(
            sizes, where.padding, where.input_dilation, strict=True
        )
    ]


def _pixels(shape, where):
    axes = [
        slice(max(low, 0), max(low, 0) + (n - 1) * spread + 1, spread)
        for n, (low, _), spread in zip(
            shape[1:-1], where.padding, where.input_dilation, strict=True
        )
    ]
    return (slice(None), *axes)


def _taps(taps, outputs, where) -> Iterator[tuple[tuple, tuple]]:
    """Each tap and where it lies in the image at all positions of the window."""
    for tap in itertools.product(*map(range, taps)):
        axes = []
        for k, m, s, (low, _), d in zip(tap, outputs, *where[:3], strict=True):
            first = k * d + max(-low, 0)
            axes.append(slice(first, first + (m - 1) * s + 1, s))
        yield tap, (slice(None), *axes)


def _split(x, groups):
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)


def _rows(x):
    return x.reshape(-1, *x.shape[-2:])


def _tap(kernel, tap, groups):
    return kernel[tap].reshape(kernel.shape[-2], groups, -1)
