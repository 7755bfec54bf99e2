"""One hashable description of a convolution, shared by its three maps."""

import enum
from dataclasses import dataclass
from typing import NamedTuple

from jax import lax

from cnnjax.native.call import positions
from cnnjax.ops.backend import Backend
from cnnjax.typing import Window

Shape = tuple[int, ...]


class Map(enum.StrEnum):
    """The three bilinear maps of a convolution (see ``cnnjax.ops.conv.maps``)."""

    FORWARD = "forward"
    INPUT_GRADIENT = "input_gradient"
    KERNEL_GRADIENT = "kernel_gradient"


@dataclass(frozen=True)
class ConvProblem:
    """The shapes, dtype and geometry of a convolution: all that its choice depends on.

    Attributes:
        x: shape of the input, ``(batch, *spatial, in)``.
        kernel: shape of the kernel, ``(*taps, in / groups, out)``.
        dtype: of all arrays, such as ``"float32"``.
        strides: positions from one output to the next, one number per spatial axis.
        padding: zeros ``(before, after)`` each spatial axis; negative numbers crop.
        dilation: distance between two taps.
        input_dilation: distance between two inputs once zeros are put between them.
        groups: number of equal parts that the channels are split into.
    """

    x: Shape
    kernel: Shape
    dtype: str
    strides: Shape
    padding: tuple[tuple[int, int], ...]
    dilation: Shape
    input_dilation: Shape
    groups: int = 1

    def __str__(self) -> str:
        return (
            f"{self.dtype} x {self.x} and kernel {self.kernel} with strides"
            f" {self.strides}, padding {self.padding}, dilation {self.dilation}, input"
            f" dilation {self.input_dilation} and groups {self.groups}"
        )

    @property
    def taps(self) -> Shape:
        """Spatial size of the kernel."""
        return self.kernel[:-2]

    @property
    def y(self) -> Shape:
        """Shape of the output, ``(batch, *positions, out)``."""
        sizes = positions(self.x[1:-1], self.taps, self.window())
        return (self.x[0], *sizes, self.kernel[-1])

    def window(self, precision: lax.PrecisionLike = None) -> Window:
        """The geometry alone, as the implementations take it.

        Args:
            precision: as in ``jax.lax.Precision``.
        """
        return Window(
            self.strides,
            self.padding,
            self.dilation,
            self.input_dilation,
            self.groups,
            precision,
        )


class Execution(NamedTuple):
    """How to compute a convolution, apart from what it computes.

    Attributes:
        backend: as in ``cnnjax.ops.backend``.
        precision: as in ``jax.lax.Precision``; ``None`` is the platform's default.
    """

    backend: Backend = "auto"
    precision: lax.PrecisionLike = None
