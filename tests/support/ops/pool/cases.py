"""Odd poolings, and the same maps by XLA's own operation."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import pytest
from jax import lax

from tests import reference


class Case(NamedTuple):
    """Shape of ``x``, the window, and options of ``ops.max_pool`` or ``avg_pool``."""

    x: tuple[int, ...]
    window: tuple[int, ...]
    options: dict[str, Any]

    def option(self, name):
        """A number for each axis, 1 where the options are silent."""
        value = self.options.get(name, 1)
        return (value,) * len(self.window) if isinstance(value, int) else tuple(value)

    @property
    def geometry(self):
        """Where the window slides, for ``reference``."""
        padding = self.options.get("padding", "VALID")
        strides, dilation = self.option("strides"), self.option("dilation")
        if padding in ("SAME", "SAME_LOWER"):
            padding = reference.same_padding(
                self.x[1:-1],
                self.window,
                strides,
                dilation,
                lower=padding == "SAME_LOWER",
            )
        elif padding == "VALID":
            padding = 0
        return reference.geometry(len(self.window), padding, strides, dilation)


def stock_pool(case, x, start, combine):
    """XLA's sliding reduction; it takes no negative padding, so that crops first."""
    where = case.geometry
    crops = [(min(low, 0), min(high, 0), 0) for low, high in where.padding]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *crops, (0, 0, 0)])
    pairs = [(max(low, 0), max(high, 0)) for low, high in where.padding]
    return lax.reduce_window(
        x,
        start,
        combine,
        (1, *case.window, 1),
        (1, *where.strides, 1),
        ((0, 0), *pairs, (0, 0)),
        window_dilation=(1, *where.dilation, 1),
    )


def case(name, x, window, **options):
    return pytest.param(Case(x, window, options), id=name)


COMMON = [
    case("pairs", (2, 6, 3), (2,), strides=2),
    case("unused end", (2, 8, 3), (3,), strides=3),
    case("overlapping", (2, 8, 2), (3,), strides=2, padding="SAME"),
    case("odd one first", (2, 7, 2), (2,), strides=2, padding="SAME_LOWER"),
    case("gaps between windows", (2, 9, 2), (2,), strides=4),
    case("crop", (2, 8, 2), (3,), padding=((-2, 1),)),
    case("padding beyond the window", (1, 3, 2), (2,), padding=((3, 4),)),
    case("plane", (2, 4, 6, 3), (2, 3), strides=(2, 3)),
    case("overlapping plane", (2, 5, 6, 2), (3, 2), strides=(1, 2), padding=(1, 0)),
    case("one pixel", (2, 4, 5, 2), (1, 1), strides=(3, 2)),
    case("whole image", (2, 4, 3, 2), (4, 3)),
    case("no images", (0, 4, 5, 2), (2, 2), strides=2),
    case("volume", (2, 3, 4, 5, 2), (2, 1, 3), strides=(1, 2, 2), padding="SAME"),
    # More taps than are unrolled at once: an axis at a time, long ones in parts.
    case("large plane", (2, 9, 8, 2), (7, 5), strides=(2, 1), padding="SAME"),
    case("large volume", (1, 5, 4, 6, 2), (4, 3, 4), padding=((1, 2), (0, 1), (3, 0))),
    case("long", (2, 70, 2), (36,), strides=6, padding=((5, 9),)),
    case("long, no common factor", (2, 60, 2), (35,), strides=3, padding=((2, -1),)),
    case("whole long signal", (2, 64, 2), (64,)),
]

DILATED = [
    case("dilated", (2, 9, 2), (3,), dilation=2, padding="SAME"),
    case("dilated plane", (2, 7, 6, 2), (2, 3), dilation=(3, 2), strides=2),
    case("long, dilated", (2, 90, 2), (40,), dilation=2, strides=4, padding=((3, 0),)),
]
