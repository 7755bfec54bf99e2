"""Slow, obvious NumPy versions of every op and its gradient, in float64.

Nothing here is shared with ``cnnjax`` and nothing is derived by a machine: each
function is its definition, written as loops over positions. Arrays are channels last.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

Pairs = Sequence[tuple[int, int]]


class Geometry(NamedTuple):
    """How a window slides: one entry per spatial axis in each field."""

    strides: Sequence[int]
    padding: Pairs
    dilation: Sequence[int]
    input_dilation: Sequence[int]


def geometry(rank, padding, strides=1, dilation=1, input_dilation=1) -> Geometry:
    """A ``Geometry`` from numbers that hold for all axes, or one entry for each."""

    def spread(value):
        return (value,) * rank if isinstance(value, int) else tuple(value)

    pairs = [(p, p) if isinstance(p, int) else tuple(p) for p in spread(padding)]
    return Geometry(spread(strides), pairs, spread(dilation), spread(input_dilation))


def same_padding(sizes, taps, strides, dilation, lower=False) -> Pairs:
    """What makes the output ceil(n / stride) long; the odd one goes to the end."""
    pairs = []
    for n, k, s, d in zip(sizes, taps, strides, dilation, strict=True):
        out = int(np.ceil(n / s))
        total = max((out - 1) * s + (k - 1) * d + 1 - n, 0)
        pair = (total // 2, total - total // 2)
        pairs.append(pair[::-1] if lower else pair)
    return pairs


def positions(sizes, taps, where: Geometry) -> tuple[int, ...]:
    """How many places each axis has for the window, counted one by one."""
    counts = []
    for n, k, s, (low, high), d, spread in zip(sizes, taps, *where, strict=True):
        first, end = -low, (n - 1) * spread + 1 + high
        starts = range(first, end, s)
        counts.append(sum(start + (k - 1) * d < end for start in starts))
    return tuple(counts)


def meetings(sizes, taps, where: Geometry) -> Iterator[tuple[tuple, tuple, tuple]]:
    """Each (output, pixel, tap) at which the window's tap lies on that pixel.

    Places in the padding, or between dilated inputs, hold zeros and are left out.
    """
    for o in itertools.product(*map(range, positions(sizes, taps, where))):
        for k in itertools.product(*map(range, taps)):
            places = [
                (oa * s + ka * d - low, spread)
                for oa, ka, s, (low, _), d, spread in zip(o, k, *where, strict=True)
            ]
            i = tuple(place // spread for place, spread in places)
            on_pixel = all(place % spread == 0 for place, spread in places)
            if on_pixel and all(0 <= a < n for a, n in zip(i, sizes, strict=True)):
                yield o, i, k


def conv(x, kernel, bias, where: Geometry, groups=1):
    """``y_o = sum_k x_i w_k + b`` over the meetings of o, i and k."""
    sizes, taps = x.shape[1:-1], kernel.shape[:-2]
    y = np.zeros((len(x), *positions(sizes, taps, where), kernel.shape[-1]))
    for o, i, k in meetings(sizes, taps, where):
        for ins, outs in channels(kernel, groups):
            y[:, *o, outs] += x[:, *i, ins] @ kernel[k][:, outs]
    return y + bias


def conv_gradients(x, kernel, dy, where: Geometry, groups=1):
    """``dx_i = sum dy_o w_k``, ``dw_k = sum x_i dy_o`` and ``db = sum dy_o``."""
    dx, dkernel = np.zeros(x.shape), np.zeros(kernel.shape)
    for o, i, k in meetings(x.shape[1:-1], kernel.shape[:-2], where):
        for ins, outs in channels(kernel, groups):
            dx[:, *i, ins] += dy[:, *o, outs] @ kernel[k][:, outs].T
            dkernel[k][:, outs] += x[:, *i, ins].T @ dy[:, *o, outs]
    return dx, dkernel, dy.sum(axis=tuple(range(dy.ndim - 1)))


def channels(kernel, groups):
    """The channels of each group, on either side."""
    inputs, outputs = kernel.shape[-2], kernel.shape[-1] // groups
    for g in range(groups):
        yield (
            slice(g * inputs, (g + 1) * inputs),
            slice(g * outputs, (g + 1) * outputs),
        )


def source(index, n, mode):
    """The pixel that is seen at ``index``, which may lie outside of the image."""
    if mode == "CIRCULAR":
        return index % n
    while not 0 <= index < n:  # walk back and forth between the two mirrors
        if n == 1:
            return 0
        index = -index if index < 0 else 2 * (n - 1) - index
    return index


def sources(sizes, pairs, mode):
    """For each axis, the pixel that each place of the padded image shows."""
    return [
        [source(index, n, mode) for index in range(-low, n + high)]
        for n, (low, high) in zip(sizes, pairs, strict=True)
    ]


def pad(x, pairs, mode):
    """The image with copies of its own pixels around it."""
    return x[:, *np.ix_(*sources(x.shape[1:-1], pairs, mode))]


def pad_gradient(dy, sizes, pairs, mode):
    """Each pixel gets the gradients of all its copies."""
    dx = np.zeros((len(dy), *sizes, dy.shape[-1]))
    places = itertools.product(*(range(n) for n in dy.shape[1:-1]))
    shown = sources(sizes, pairs, mode)
    for place in places:
        pixel = tuple(axis[p] for axis, p in zip(shown, place, strict=True))
        dx[:, *pixel] += dy[:, *place]
    return dx


def max_pool(x, taps, where: Geometry):
    """The largest pixel of each window."""
    y = np.full((len(x), *positions(x.shape[1:-1], taps, where), x.shape[-1]), -np.inf)
    for o, i, _ in meetings(x.shape[1:-1], taps, where):
        y[:, *o] = np.maximum(y[:, *o], x[:, *i])
    return y


def max_pool_gradient(x, dy, taps, where: Geometry):
    """Each window gives its gradient to the first of its largest pixels."""
    y, dx, given = max_pool(x, taps, where), np.zeros(x.shape), np.zeros(dy.shape, bool)
    for o, i, _ in meetings(x.shape[1:-1], taps, where):
        wins = (x[:, *i] == y[:, *o]) & ~given[:, *o]
        dx[:, *i] += np.where(wins, dy[:, *o], 0)
        given[:, *o] |= wins
    return dx


def covered(sizes, taps, where: Geometry, count_include_pad):
    """By how much the sum of each window is divided, ``(*positions, 1)``."""
    count = np.zeros((*positions(sizes, taps, where), 1))
    if count_include_pad:
        return count + np.prod(taps)
    for o, _, _ in meetings(sizes, taps, where):
        count[o] += 1
    return count


def avg_pool(x, taps, where: Geometry, count_include_pad=True):
    """The mean of each window."""
    y = np.zeros((len(x), *positions(x.shape[1:-1], taps, where), x.shape[-1]))
    for o, i, _ in meetings(x.shape[1:-1], taps, where):
        y[:, *o] += x[:, *i]
    return y / covered(x.shape[1:-1], taps, where, count_include_pad)


def avg_pool_gradient(x, dy, taps, where: Geometry, count_include_pad=True):
    """Each window gives equal parts of its gradient to its pixels."""
    dx = np.zeros(x.shape)
    share = dy / covered(x.shape[1:-1], taps, where, count_include_pad)
    for o, i, _ in meetings(x.shape[1:-1], taps, where):
        dx[:, *i] += share[:, *o]
    return dx


def dense(x, kernel, bias):
    """``y_o = sum_i x_i w_io + b_o`` for the last axis of ``x``."""
    y = np.zeros((*x.shape[:-1], kernel.shape[1])) + bias
    for i, o in np.ndindex(kernel.shape):
        y[..., o] += x[..., i] * kernel[i, o]
    return y


def dense_gradients(x, kernel, dy):
    """``dx_i = sum_o dy_o w_io``, ``dw_io = sum x_i dy_o``, ``db_o = sum dy_o``."""
    dx, dkernel = np.zeros(x.shape), np.zeros(kernel.shape)
    for i, o in np.ndindex(kernel.shape):
        dx[..., i] += dy[..., o] * kernel[i, o]
        dkernel[i, o] = np.sum(x[..., i] * dy[..., o])
    return dx, dkernel, dy.sum(axis=tuple(range(dy.ndim - 1)))


def softmax(logits):
    """``p_c = exp(z_c) / sum_k exp(z_k)``."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def softmax_cross_entropy(logits, targets):
    """``-sum_c t_c log p_c``."""
    return -np.sum(targets * np.log(softmax(logits)), axis=-1)


def softmax_cross_entropy_gradient(logits, targets, dloss):
    """``dL/dz_c = sum_k t_k (p_c - [c = k])``."""
    p, dlogits = softmax(logits), np.zeros(logits.shape)
    for k in range(logits.shape[-1]):
        dlogits += targets[..., k, None] * (p - np.eye(logits.shape[-1])[k])
    return dloss[..., None] * dlogits


def sigmoid(logits):
    """``1 / (1 + exp(-z))``."""
    return 1 / (1 + np.exp(-logits))


def sigmoid_binary_cross_entropy(logits, targets):
    """``-t log p - (1 - t) log(1 - p)``."""
    p = sigmoid(logits)
    return -targets * np.log(p) - (1 - targets) * np.log(1 - p)


def dropout(x, mask, rate):
    """Kept values grow by ``1 / (1 - rate)``; the gradient is this map of ``dy``."""
    return np.where(mask, x / (1 - rate), 0)
