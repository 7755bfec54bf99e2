"""Convolutions that XLA computes incorrectly, rewritten as ones that it computes right.

Two faults of XLA depend only on shapes:

* On a CPU, the float32 convolution without strides and dilations reads outside its
  arrays where an axis is cropped before (``low < 0``) and padded after (``high > 0``)
  and no axis is padded by more than it is cropped. The input gradient is such a sum
  where the padding is larger than the kernel. So a slice crops first; a negative
  ``pad`` would not help, because XLA merges it with the convolution.
* XLA swaps operand and kernel where the kernel has more values. If an axis has no
  padding, a base dilation of k and a stride of k - 1 for k taps, the swapped window
  keeps the size of the kernel instead of the operand's, and the process aborts.
  One more zero at the end of the operand, with that much less padding, avoids it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Pairs = Sequence[tuple[int, int]]


class Sum(NamedTuple):
    """A convolution as XLA sees it; each field has one entry per spatial axis.

    Attributes:
        sizes: of the operand.
        taps: of the kernel.
        strides: positions from one output to the next.
        padding: zeros ``(before, after)`` the spread operand; negative ones crop.
        lhs_dilation: distance between two values of the operand.
        rhs_dilation: distance between two taps.
    """

    sizes: Sequence[int]
    taps: Sequence[int]
    strides: Sequence[int]
    padding: Pairs
    lhs_dilation: Sequence[int]
    rhs_dilation: Sequence[int]

    @property
    def is_dense(self) -> bool:
        """Whether there are neither strides nor dilations."""
        return {*self.strides, *self.lhs_dilation, *self.rhs_dilation} == {1}


def avoid(operand: jax.Array, whole: Sum) -> tuple[jax.Array, Pairs]:
    """The operand and padding of the same sum, in a form that XLA computes right.

    Args:
        operand: ``(n, *sizes, c)``.
        whole: the sum.
    """
    if whole.is_dense:
        return crop(operand, whole.padding)
    return append_zeros(operand, whole, swap_aborts(whole))


def crop(operand: jax.Array, padding: Pairs) -> tuple[jax.Array, Pairs]:
    """Cuts off what negative padding of a dense sum crops.

    All of it, not only where XLA reads outside: XLA adds the padding of a ``pad`` that
    comes before to that of the convolution.
    """
    if not any(side < 0 for pair in padding for side in pair):
        return operand, padding
    start, stop, left = [0], [operand.shape[0]], []
    for size, (low, high) in zip(operand.shape[1:-1], padding, strict=True):
        first, last = max(-low, 0), size - max(-high, 0)
        if first < last:
            left.append((max(low, 0), max(high, 0)))
        else:  # the window covers only padding
            first, last = 0, 0
            left.append((size + low + high, 0))
        start.append(first)
        stop.append(last)
    operand = lax.slice(operand, (*start, 0), (*stop, operand.shape[-1]))
    if 0 in stop[1:]:
        return pad(operand, left), ((0, 0),) * len(left)
    return operand, tuple(left)


def swap_aborts(whole: Sum) -> tuple[bool, ...]:
    """On which axes swapping operand and kernel would abort.

    Whether XLA swaps them depends on sizes that it changes first; so a swap is
    assumed wherever another axis could make the kernel larger, and also with groups,
    which XLA may take apart first. A size that is unknown while tracing could be any
    size.
    """
    alike = tuple(
        rd == 1 and ld == k and s == k - 1 and all(_may_be(side, 0) for side in pair)
        for k, s, pair, ld, rd in zip(*whole[1:], strict=True)
    )
    if all(alike):
        return (False,) * len(alike)
    sizes = zip(whole.sizes, whole.taps, strict=True)
    return tuple(
        bad and not (_is_known(n) and n == k)
        for bad, (n, k) in zip(alike, sizes, strict=True)
    )


def append_zeros(
    operand: jax.Array, whole: Sum, axes: Sequence[bool]
) -> tuple[jax.Array, Pairs]:
    """Appends a zero to each of ``axes``, with that much less padding."""
    if not any(axes):
        return operand, whole.padding
    padding = tuple(
        (low, high - spread if chosen else high)
        for (low, high), spread, chosen in zip(
            whole.padding, whole.lhs_dilation, axes, strict=True
        )
    )
    return pad(operand, [(0, int(chosen)) for chosen in axes]), padding


def pad(operand: jax.Array, pairs: Pairs) -> jax.Array:
    """Zeros ``(before, after)`` each spatial axis."""
    config = [(0, 0, 0), *((low, high, 0) for low, high in pairs), (0, 0, 0)]
    return lax.pad(operand, jnp.zeros((), operand.dtype), config)


def _is_known(size):
    return isinstance(size, int)


def _may_be(size, value):
    return size == value if _is_known(size) else True
