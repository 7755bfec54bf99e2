"""Names for arrays and sizes that every folder shares."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

Array: TypeAlias = Any
"""An array of JAX or of NumPy: no type that checkers know covers both."""

Images: TypeAlias = Array
"""Inputs of a network, channels last: ``(batch, *spatial, channels)``."""

Labels: TypeAlias = Array
"""Class numbers ``(batch,)`` or a weight per class ``(batch, classes)``."""

Params: TypeAlias = Any
"""A nested mapping from names to the arrays of a network."""

Padding: TypeAlias = str | int | Sequence[int | tuple[int, int]]
"""``"SAME"``, ``"VALID"``, ..., or how many to add before and after each axis."""

Sizes: TypeAlias = int | Sequence[int] | None
"""One number for all spatial axes, or one for each; ``None`` means 1."""


class Window(NamedTuple):
    """How a window slides over the spatial axes; hashable, so static under jit.

    Attributes:
        strides: positions from one output to the next, one number per axis.
        padding: values added ``(before, after)`` each axis; negative ones crop.
        dilation: distance between two taps of the window, one number per axis.
        input_dilation: distance between two inputs once zeros are put between them.
        groups: number of equal parts the channels are split into.
        precision: as in ``jax.lax.Precision``; ``None`` is the platform's default.
        backend: ``"auto"``, ``"native"`` or ``"xla"`` (see ``cnnjax.ops.backend``).
    """

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    input_dilation: tuple[int, ...]
    groups: int = 1
    precision: Any = None
    backend: str = "auto"


class Reporter(Protocol):
    """What a training loop tells its observers; ``start`` comes first."""

    def start(self, info: Mapping[str, Any]) -> None:
        """Hear what the run is, before its first step.

        Args:
            info: name, total_steps, examples (of the training set), epochs, batch_size,
                parameters (how many), device, workdir.
        """
        ...

    def rewind(self, step: int) -> None:
        """Hear that the steps after ``step`` are taken again; 0 before a new run."""
        ...

    def step(self, record: Mapping[str, Any]) -> None:
        """Hear of one training step; called after each, so it has to be quick.

        Args:
            record: step, epoch, loss, learning_rate, images_per_second, as numbers of
                the host.
        """
        ...

    def log(self, record: Mapping[str, Any]) -> None:
        """Hear the metrics of a stretch of training or of an evaluation.

        Args:
            record: kind ("train", "validation" or "test"), step, epoch, and the metrics
                by name; flat, of strings and numbers.
        """
        ...

    def message(self, text: str) -> None:
        """Hear a sentence meant for people."""
        ...

    def close(self) -> None:
        """Hear that the run is over, whether it succeeded or not."""
        ...
