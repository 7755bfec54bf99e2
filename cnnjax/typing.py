"""Types of arrays and sizes that every folder shares, and the role ``Reporter``."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

Array: TypeAlias = Any
"""A JAX or NumPy array: no type covers both."""

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


class Reporter:
    """An observer of a training run; a subclass has the methods that do something.

    ``start`` is called first, ``close`` last.
    """

    def start(self, info: Mapping[str, Any]) -> None:
        """Called once, before the first step, with a description of the run.

        Args:
            info: name, total_steps, examples (of the training set), epochs, batch_size,
                parameters (how many), device, workdir, metrics (their names in an
                evaluation), monitor (the metric that decides which validation is the
                best), higher_is_better and min_improvement (of the monitor), best (step
                and metrics of the best validation of a resumed run, or ``None``).
        """

    def rewind(self, step: int) -> None:
        """Called when training returns to ``step``; 0 before a new run.

        The steps after it are computed again.
        """

    def step(self, record: Mapping[str, Any]) -> None:
        """Called after each training step, so it must be quick.

        Args:
            record: step, epoch, loss, accuracy, learning_rate, images_per_second,
                data_wait_fraction, as Python numbers.
        """

    def log(self, record: Mapping[str, Any]) -> None:
        """Called with the metrics of some steps of training or of an evaluation.

        Args:
            record: kind ("train", "validation" or "test"), step, epoch, and the metrics
                by name; flat, of strings and numbers.
        """

    def message(self, text: str) -> None:
        """Called with a sentence for people."""

    def progress(self, task: str, done: int, total: int | None, unit: str) -> None:
        """Called by work that may take long, so it must be quick.

        Args:
            task: such as "measuring normalization".
            done: how many units; the task is over once that is ``total``.
            total: of how many; ``None`` if it is unknown.
            unit: what is counted, such as "images".
        """

    def checkpoint(self, step: int, folder: str) -> None:
        """Called once the checkpoint of ``step`` is complete on disk, in ``folder``.

        Saving runs beside training, so this may be some steps after ``step``.
        """

    def inputs(self, shown: Sequence[Any], dataset: Any, normalization: Any) -> None:
        """Called after ``start`` with some images as the network sees them.

        Like ``layers`` and ``outputs``, only if the setting ``report`` has a tracker
        that shows them.

        Args:
            shown: parts of a sheet, see ``cnnjax.train.run.inputs.Shown``.
            dataset: that the images belong to.
            normalization: of the images.
        """

    def layers(
        self, step: int, scalars: Mapping[str, float], arrays: Mapping[str, Array]
    ) -> None:
        """Called before some training steps with the state of each layer.

        Args:
            step: that is about to be taken.
            scalars: such as ``"gradient_norm/Conv_0"``.
            arrays: weights before the step and their gradients, such as
                ``"weights/Conv_0.kernel"``.
        """

    def outputs(
        self, kind: str, step: int, outputs: Any, class_names: Sequence[str] | None
    ) -> None:
        """Called after ``log`` with what an evaluation is computed from, if it is kept.

        Args:
            kind: "validation" or "test".
            step: of the state.
            outputs: of each example, see ``cnnjax.metrics.Outputs``.
            class_names: one per class or output, if they have names.
        """

    def wants_stop(self) -> bool:
        """Whether the run should save a checkpoint and end after the current step."""
        return False

    def end(self, info: Mapping[str, Any]) -> None:
        """Called when training has ended and its last checkpoint is complete.

        Args:
            info: step, reason ("finished", "early stopping", "callback", or the name of
                a signal).
        """

    def close(self) -> None:
        """Called when the run is over, whether it succeeded or not."""
