"""One hashable description of a pooling, and how a large window is split.

Maximum and sum are separable, so a window with many taps is applied one axis at a time.
The last axis comes first, which preserves "first in row-major order" on ties.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from cnnjax.ops import padding as pads
from cnnjax.ops import taps as unrolled
from cnnjax.ops.backend import Backend, chosen_backend
from cnnjax.typing import Array, Padding, Sizes, Window

Shape = tuple[int, ...]


class PoolProblem(NamedTuple):
    """All that a pooling depends on but the values of its arrays.

    Attributes:
        taps: size of the window on each spatial axis.
        window: how it slides.
        sizes: spatial sizes of x.
        channels: of x and y.
        dtype: of x, y and their gradients.
        backend: as in ``cnnjax.ops.backend``.
        for_gradient: whether a gradient needs the taps that hold the maxima.
    """

    taps: Shape
    window: Window
    sizes: Shape
    channels: int
    dtype: Any
    backend: Backend = "auto"
    for_gradient: bool = False

    @property
    def positions(self) -> Shape:
        """Spatial sizes of y."""
        covered = pads.span(self.taps, self.window.dilation)
        return pads.output_sizes(
            self.sizes, covered, self.window.strides, self.window.padding
        )


def make_problem(
    x: Array,
    window: Sizes,
    strides: Sizes = 1,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    backend: Backend | None = None,
) -> PoolProblem:
    """The description of a pooling of ``x``, an array or a ``jax.ShapeDtypeStruct``.

    The other arguments are those of ``cnnjax.ops.max_pool``.

    Raises:
        ValueError: sizes that do not fit together, or an output without positions.
    """
    if not 3 <= x.ndim <= 5 or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"x is {x.dtype}{x.shape}, expected a floating (batch, *spatial, channels)"
            " with 1 to 3 spatial axes"
        )
    rank, sizes = x.ndim - 2, x.shape[1:-1]
    taps = pads.per_axis(window, rank, "window")
    strides = pads.per_axis(strides, rank, "strides")
    dilation = pads.per_axis(dilation, rank, "dilation")
    covered = pads.span(taps, dilation)
    pairs = pads.padding_pairs(padding, sizes, covered, strides)
    pads.output_sizes(sizes, covered, strides, pairs)
    slides = Window(strides, pairs, dilation, (1,) * rank)
    name = chosen_backend(backend)
    return PoolProblem(taps, slides, sizes, x.shape[-1], jnp.dtype(x.dtype), name)


def stages(problem: PoolProblem) -> list[PoolProblem]:
    """The poolings to run one after the other: one, or several for a large window."""
    if math.prod(problem.taps) <= unrolled.LARGEST_UNROLLED:
        return [problem]
    parts = []
    for axis in reversed(range(len(problem.taps))):
        for part in _along(axis, problem):
            part = part._replace(sizes=parts[-1].positions if parts else problem.sizes)
            parts.append(part)
    return parts


def _along(axis: int, problem: PoolProblem) -> Iterator[PoolProblem]:
    """The part of the window along one axis, one pixel wide on the others.

    A long one is a window over windows: ``k1 k2`` taps are ``k1`` neighbors, and then
    ``k2`` of these, ``k1`` apart. Of the first, only every gcd(stride, distance)-th is
    needed.
    """

    def only(value, neutral):
        return tuple(value if i == axis else neutral for i in range(len(problem.taps)))

    window = problem.window
    rest, stride, dilation = (
        row[axis] for row in (problem.taps, window.strides, window.dilation)
    )
    padding = window.padding[axis]
    for count in _factors(rest):
        rest //= count
        step = stride if rest == 1 else math.gcd(stride, dilation * count)
        part = window._replace(
            strides=only(step, 1),
            padding=only(padding, (0, 0)),
            dilation=only(dilation, 1),
        )
        yield problem._replace(taps=only(count, 1), window=part)
        stride, dilation, padding = stride // step, dilation * count // step, (0, 0)


def _factors(count):
    """The prime factors of ``count`` from the smallest; for 1 just itself."""
    factors, divisor = [], 2
    while divisor * divisor <= count:
        if count % divisor:
            divisor += 1
        else:
            factors.append(divisor)
            count //= divisor
    return [*factors, count]


def lowest(dtype: Any) -> float:
    """The lowest value of a dtype; some kinds of float8 have no infinity."""
    value = float(np.asarray(-np.inf).astype(dtype))
    return value if value == -np.inf else float(jnp.finfo(dtype).min)
