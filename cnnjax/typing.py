"""Names for arrays and sizes that every folder shares."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

Array: TypeAlias = jax.Array | np.ndarray
"""An array on the device or on the host."""

Images: TypeAlias = Array
"""Inputs of a network, channels last: ``(batch, *spatial, channels)``."""

Labels: TypeAlias = Array
"""Class numbers ``(batch,)`` or a weight per class ``(batch, classes)``."""

Params: TypeAlias = Mapping[str, Any]
"""A nested mapping from names to the arrays of a network."""

Padding: TypeAlias = str | int | Sequence[int | tuple[int, int]]
"""``"SAME"``, ``"VALID"``, ..., or how many to add before and after each axis."""

Sizes: TypeAlias = int | Sequence[int]
"""One number for all spatial axes, or one for each."""


class Window(NamedTuple):
    """How a window slides over the spatial axes; hashable, so static under jit.

    Attributes:
        strides: positions from one output to the next, one number per axis.
        padding: values added ``(before, after)`` each axis; negative ones crop.
        dilation: distance between two taps of the window, one number per axis.
        input_dilation: distance between two inputs once zeros are put between them.
        groups: number of equal parts the channels are split into.
        precision: as in ``jax.lax.Precision``; ``None`` is the platform's default.
    """

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    input_dilation: tuple[int, ...]
    groups: int = 1
    precision: Any = None
