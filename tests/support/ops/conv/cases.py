"""Odd convolutions: every axis another size, windows that do not fit nicely."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from tests import reference

CHANNELS_LAST = {3: "NWC", 4: "NHWC", 5: "NDHWC"}
TAPS_FIRST = {3: "WIO", 4: "HWIO", 5: "DHWIO"}


class Case(NamedTuple):
    """Shapes of ``x`` and the kernel, and the options of ``ops.conv``."""

    x: tuple[int, ...]
    kernel: tuple[int, ...]
    options: dict[str, Any]

    @property
    def rank(self):
        """How many spatial axes there are."""
        return len(self.x) - 2

    def option(self, name):
        """A number for each axis, 1 where the options are silent."""
        value = self.options.get(name, 1)
        return (value,) * self.rank if isinstance(value, int) else tuple(value)

    @property
    def covered(self):
        """How many pixels the window covers on each axis."""
        taps = zip(self.kernel, self.option("dilation"), strict=False)
        return [(k - 1) * d + 1 for k, d in taps]

    @property
    def copies(self):
        """The pairs of a padding that copies pixels, else ``None``."""
        if self.options.get("padding") in ("CIRCULAR", "REFLECT"):
            return [((k - 1) // 2, k // 2) for k in self.covered]
        return None

    @property
    def geometry(self):
        """Where the window slides, for ``reference``; after any copying of pixels."""
        padding = self.options.get("padding", "SAME")
        strides, dilation = self.option("strides"), self.option("dilation")
        spread = self.option("input_dilation")
        if padding in ("SAME", "SAME_LOWER"):
            padding = reference.same_padding(
                [(n - 1) * d + 1 for n, d in zip(self.x[1:-1], spread, strict=True)],
                self.kernel[: self.rank],
                strides,
                dilation,
                lower=padding == "SAME_LOWER",
            )
        elif padding == "CAUSAL":
            padding = [((self.covered[0] - 1) * spread[0], 0)]
        elif isinstance(padding, str):
            padding = 0
        return reference.geometry(self.rank, padding, strides, dilation, spread)


def stock_conv(case: Case, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The same map as ``ops.conv`` by XLA's own operation, for ``jax.grad``."""
    padding = case.options.get("padding", "SAME")
    if case.copies:
        mode = {"CIRCULAR": "wrap", "REFLECT": "reflect"}[padding]
        x = jnp.pad(x, ((0, 0), *case.copies, (0, 0)), mode=mode)
        padding = "VALID"
    elif padding == "CAUSAL" or max(case.option("input_dilation")) > 1:
        padding = case.geometry.padding  # XLA's names are for dense inputs
    elif not isinstance(padding, str):
        padding = case.geometry.padding
    if case.options.get("flip_kernel"):
        kernel = jnp.flip(kernel, range(case.rank))
    return lax.conv_general_dilated(
        x,
        kernel,
        case.option("strides"),
        padding,
        lhs_dilation=case.option("input_dilation"),
        rhs_dilation=case.option("dilation"),
        dimension_numbers=(
            CHANNELS_LAST[x.ndim],
            TAPS_FIRST[x.ndim],
            CHANNELS_LAST[x.ndim],
        ),
        feature_group_count=case.options.get("groups", 1),
    )


def case(name, x, kernel, **options):
    return pytest.param(Case(x, kernel, options), id=name)


CASES = [
    # 1-D
    case("same", (2, 7, 3), (3, 3, 4)),
    case("valid", (2, 7, 3), (3, 3, 4), padding="VALID"),
    case("even kernel", (2, 7, 3), (4, 3, 2)),
    case("even kernel, odd one first", (2, 7, 3), (4, 3, 2), padding="SAME_LOWER"),
    case("same by threes", (2, 8, 2), (5, 2, 3), strides=3),
    case("unused end", (2, 12, 2), (3, 2, 3), strides=4, padding="VALID"),
    case("stride skips pixels", (1, 11, 2), (2, 2, 3), strides=4, padding=((1, 2),)),
    case("crop", (2, 9, 2), (3, 2, 2), padding=((-2, -1),)),
    case("crop before, pad after", (2, 6, 2), (3, 2, 2), padding=((-1, 4),), strides=2),
    case("crop and dilated input", (2, 6, 2), (3, 2, 2), padding=-1, input_dilation=3),
    case("only padding at the ends", (1, 2, 2), (2, 2, 3), padding=4),
    case("kernel larger than signal", (2, 3, 2), (7, 2, 3), padding=((3, 2),)),
    case("dilation", (2, 9, 2), (3, 2, 3), dilation=3, padding=((1, 2),)),
    case("one tap", (3, 5, 2), (1, 2, 3), strides=2),
    case("one pixel", (2, 1, 2), (3, 2, 3)),
    case("causal", (2, 6, 3), (4, 3, 2), padding="CAUSAL"),
    case("causal, dilated", (2, 7, 2), (3, 2, 2), padding="CAUSAL", dilation=2),
    case(
        "causal, dilated input",
        (2, 5, 2),
        (3, 2, 2),
        padding="CAUSAL",
        input_dilation=2,
        strides=3,
    ),
    case("periodic, kernel larger", (2, 3, 2), (8, 2, 3), padding="CIRCULAR"),
    case("mirrored, kernel larger", (2, 3, 2), (12, 2, 3), padding="REFLECT"),
    case("mirrored, two pixels", (2, 2, 2), (8, 2, 3), padding="REFLECT"),
    case("mirrored, one pixel", (2, 1, 2), (4, 2, 3), padding="REFLECT"),
    case("flipped", (2, 7, 2), (4, 2, 3), flip_kernel=True, strides=2),
    case("depthwise", (2, 6, 3), (2, 1, 6), groups=3),
    # 2-D
    case("plane", (2, 5, 7, 3), (3, 2, 3, 4)),
    case("uneven pads", (2, 5, 4, 2), (2, 3, 2, 3), padding=((0, 3), (2, 1))),
    case("number per axis", (2, 5, 4, 2), (2, 3, 2, 3), padding=(0, 2)),
    case("strides per axis", (2, 8, 7, 2), (3, 2, 2, 3), strides=(3, 2)),
    case(
        "everything",
        (2, 5, 6, 4),
        (2, 3, 2, 6),
        strides=(2, 3),
        dilation=(2, 1),
        input_dilation=(1, 2),
        padding=((3, -1), (0, 2)),
        groups=2,
    ),
    case(
        "same, dilated input",
        (2, 4, 5, 2),
        (3, 2, 2, 3),
        input_dilation=(2, 3),
        strides=(3, 2),
    ),
    case("groups", (2, 4, 5, 6), (3, 2, 2, 3), groups=3, strides=(1, 2)),
    case("depthwise multiplier", (2, 4, 5, 3), (3, 2, 1, 6), groups=3, dilation=2),
    case(
        "periodic",
        (2, 4, 5, 2),
        (2, 3, 2, 3),
        padding="CIRCULAR",
        strides=(2, 1),
        dilation=(1, 2),
    ),
    case(
        "mirrored",
        (2, 4, 5, 4),
        (3, 4, 2, 2),
        padding="REFLECT",
        groups=2,
        dilation=(2, 1),
    ),
    case("flipped plane", (1, 4, 5, 2), (2, 3, 2, 3), flip_kernel=True, padding=1),
    case("no images", (0, 4, 5, 2), (3, 2, 2, 3)),
    case("no images, periodic", (0, 4, 5, 2), (3, 2, 2, 3), padding="CIRCULAR"),
    case("no images, groups", (0, 4, 5, 4), (3, 2, 2, 6), groups=2, strides=2),
    # 3-D
    case("volume", (2, 3, 4, 5, 2), (2, 3, 1, 2, 3), strides=(1, 2, 2)),
    case(
        "volume, everything",
        (1, 3, 4, 5, 4),
        (2, 1, 3, 2, 2),
        strides=(1, 3, 2),
        dilation=(2, 1, 1),
        input_dilation=(1, 1, 2),
        padding=((1, 0), (-1, 2), (0, 3)),
        groups=2,
    ),
    case("volume, periodic", (1, 2, 3, 1, 2), (3, 2, 2, 2, 3), padding="CIRCULAR"),
    case("volume, mirrored", (1, 2, 3, 1, 2), (3, 4, 2, 2, 2), padding="REFLECT"),
]
