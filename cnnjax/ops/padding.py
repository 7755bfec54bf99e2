"""Size arithmetic of sliding windows, and padding that repeats or mirrors the image.

An output has size ``floor((n + before + after - window) / stride) + 1`` where a window
of ``k`` taps at distance ``d`` covers ``(k - 1) d + 1`` inputs. ``SAME`` pads so that
the size is ``ceil(n / stride)``; an odd total puts the extra value after the image, as
JAX and TensorFlow do, and ``SAME_LOWER`` before it.

``pad_image`` copies each pixel to the places where its index comes up again; so its
gradient adds up, for each pixel, the gradients of all its copies (``fold_image``).
"""

from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import max_dim

from cnnjax.ops.gradient import custom_vjp
from cnnjax.typing import Padding, Sizes

Pairs = tuple[tuple[int, int], ...]
NAMES = ("SAME", "SAME_LOWER", "VALID")


def per_axis(value: Sizes, rank: int, name: str) -> tuple[int, ...]:
    """A positive whole number for each of ``rank`` spatial axes.

    Raises:
        ValueError: a value below 1, or another count of values than ``rank``.
    """
    if value is None:
        value = 1
    sizes = tuple(value) if isinstance(value, Iterable) else (value,) * rank
    if len(sizes) != rank:
        raise ValueError(f"{name} is {value}, expected {rank} numbers, one per axis")
    if not all(_is_whole(size) and size >= 1 for size in sizes):
        raise ValueError(f"{name} is {value}, expected whole numbers of 1 or more")
    return tuple(int(size) for size in sizes)


def span(window: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """How many inputs a dilated window covers on each axis."""
    return tuple((k - 1) * d + 1 for k, d in zip(window, dilation, strict=True))


def padding_pairs(
    padding: Padding,
    sizes: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
) -> Pairs:
    """The padding ``(before, after)`` each axis.

    Args:
        padding: ``"SAME"``, ``"SAME_LOWER"``, ``"VALID"``, one number for all sides,
            or for each axis a number or a pair.
        sizes: the image's spatial sizes.
        window: inputs covered by the window on each axis (see ``span``).
        strides: positions from one output to the next.

    Raises:
        ValueError: an unknown name or a malformed sequence.
    """
    if isinstance(padding, str):
        return _named_pairs(padding.upper(), sizes, window, strides)
    rank = len(sizes)
    sides = list(padding) if isinstance(padding, Iterable) else [padding] * rank
    pairs = [tuple(p) if isinstance(p, Iterable) else (p, p) for p in sides]
    whole = all(len(p) == 2 and all(map(_is_whole, p)) for p in pairs)
    if len(pairs) != rank or not whole:
        raise ValueError(
            f"padding is {padding}, expected one of {', '.join(NAMES)}, a whole number,"
            f" or {rank} entries that are whole numbers or (before, after) pairs"
        )
    return tuple((int(low), int(high)) for low, high in pairs)


def _named_pairs(name, sizes, window, strides) -> Pairs:
    if name not in NAMES:
        raise ValueError(f"padding is {name!r}, expected one of {', '.join(NAMES)}")
    if name == "VALID":
        return ((0, 0),) * len(sizes)
    pairs = []
    for n, k, s in zip(sizes, window, strides, strict=True):
        total = max_dim((-(-n // s) - 1) * s + k - n, 0)
        small, large = total // 2, total - total // 2
        pairs.append((small, large) if name == "SAME" else (large, small))
    return tuple(pairs)


def output_sizes(
    sizes: Sequence[int], window: Sequence[int], strides: Sequence[int], pairs: Pairs
) -> tuple[int, ...]:
    """The spatial sizes of the output.

    Raises:
        ValueError: the window does not fit into the padded image.
    """
    out = tuple(
        (n + low + high - k) // s + 1
        for n, k, s, (low, high) in zip(sizes, window, strides, pairs, strict=True)
    )
    # Whether a symbolic size is too small is known when the exported program is called.
    if any(isinstance(n, int) and n < 1 for n in out):
        raise ValueError(
            f"the output would be empty: a window that covers {tuple(window)} does not"
            f" fit into an image of {tuple(sizes)} padded by {pairs}; use a smaller"
            " window or dilation, or more padding"
        )
    return out


@custom_vjp("pairs", "mode")
def pad_image(x: jax.Array, pairs: Pairs, mode: str) -> jax.Array:
    """Pads the spatial axes of ``x`` with its own pixels.

    Args:
        x: ``(batch, *spatial, channels)``.
        pairs: values to add before and after each spatial axis, 0 or more.
        mode: ``"wrap"`` (periodic) or ``"reflect"`` (mirrored, edge not repeated).
    """
    return jnp.pad(x, ((0, 0), *pairs, (0, 0)), mode=mode)


@custom_vjp("pairs", "mode")
def fold_image(dy: jax.Array, pairs: Pairs, mode: str) -> jax.Array:
    """Adds up all copies of each pixel: the transpose of ``pad_image``."""
    for axis, (low, high) in enumerate(pairs, start=1):
        dy = _fold_axis(dy, axis, low, high, mode)
    return dy


def _fold_axis(dy, axis, low, high, mode):
    n = dy.shape[axis] - low - high
    period = n if mode == "wrap" else max(2 * n - 2, 1)
    widths = [(0, 0)] * dy.ndim
    widths[axis] = (-low % period, -(n + high) % period)
    dy = jnp.pad(dy, widths)
    repeats = dy.shape[axis] // period
    shape = (*dy.shape[:axis], repeats, period, *dy.shape[axis + 1 :])
    sums = dy.reshape(shape).sum(axis)
    if period <= n:
        return sums
    mirrored = jnp.flip(lax.slice_in_dim(sums, n, period, axis=axis), axis)
    widths[axis] = (1, 1)
    return lax.slice_in_dim(sums, 0, n, axis=axis) + jnp.pad(mirrored, widths)


pad_image.defvjp(
    lambda x, pairs, mode: (pad_image(x, pairs, mode), None),
    lambda pairs, mode, _, dy: (fold_image(dy, pairs, mode),),
)
fold_image.defvjp(
    lambda dy, pairs, mode: (fold_image(dy, pairs, mode), None),
    lambda pairs, mode, _, g: (pad_image(g, pairs, mode),),
)


def _is_whole(value: object) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)
