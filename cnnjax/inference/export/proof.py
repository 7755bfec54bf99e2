"""Verifies that an exported file computes the same outputs as the checkpoint."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from cnnjax import progress
from cnnjax.data import Split, eval_batches
from cnnjax.data.tasks import MULTILABEL, REGRESSION
from cnnjax.errors import ConfigError
from cnnjax.inference.export.program import Run, as_taken
from cnnjax.inference.trained_model import TrainedModel

TOLERANCES = {"float32": 1e-4, "bfloat16": 3e-2}
"""The largest difference, as a fraction of the largest output (or of 1, if larger).

bfloat16 has 8 bits of precision, and which values are rounded depends on the compiler.
"""

BATCH = 64
"""Images that are compared at a time; the last batch is filled up."""


class Certificate(NamedTuple):
    """What was compared, and by how much the outputs differ.

    Attributes:
        data: the source of the images.
        split: the split of the source.
        examples: the number of images.
        same_predictions: for how many of them the most probable class is the same, or,
            for multi-label data, the set of classes with a probability above 1/2;
            ``None`` for a regression.
        largest_difference: between two outputs (logits, or a regression's numbers).
        largest_relative_difference: the same, divided by the largest output.
        tolerance: the largest relative difference that is allowed.
        runtime: the runtime that ran the file.
    """

    data: str
    split: str
    examples: int
    same_predictions: int | None
    largest_difference: float
    largest_relative_difference: float
    tolerance: float
    runtime: str


def compare(
    trained: TrainedModel, run: Run, examples: Split, data: str, split: str, by: str
) -> Certificate:
    """Compares the outputs of a file with those of a trained model on all examples.

    Args:
        trained: the model.
        run: runs the file.
        examples: the images to compare on.
        data: their source, for the certificate.
        split: their split, for the certificate.
        by: the runtime, for the certificate.

    Raises:
        ConfigError: outputs that differ by more than the tolerance.
    """
    model = trained.description
    largest = difference = 0.0
    same = count = 0
    for expected, actual in outputs_of(trained, run, examples):
        largest = max(largest, float(np.abs(expected).max()))
        difference = max(difference, float(np.abs(actual - expected).max()))
        pairs = predictions_of(expected, model.task) == predictions_of(
            actual, model.task
        )
        same += int(pairs.reshape(len(pairs), -1).all(-1).sum())
        count += len(expected)
    relative, tolerance = difference / max(largest, 1.0), TOLERANCES[model.precision]
    if relative > tolerance:
        raise ConfigError(
            f"the exported file disagrees with the checkpoint on {count} examples"
            f" ({split}): outputs differ by up to {difference:.3g}, and the largest"
            f" output is {largest:.3g}; expected a relative difference of at most"
            f" {tolerance:g}. {same} of {count} predictions are the same. Nothing was"
            " kept"
        )
    return Certificate(
        *(data, split, count, None if model.task == REGRESSION else same),
        *(difference, relative, tolerance, by),
    )


def outputs_of(
    trained: TrainedModel, run: Run, examples: Split
) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """The outputs of the model and of the file, batch by batch.

    Raises:
        ConfigError: outputs of the file that are not finite or not of the right shape.
    """
    count, size = len(examples.labels), BATCH
    batches = eval_batches(examples, size)
    for start in range(0, count, size):
        progress.tell("comparing", start, count)
        images, left = next(batches)[0], count - start
        # The file's runtime multiplies in full float32; a GPU or TPU does on request.
        with jax.default_matmul_precision("highest"):
            expected = trained.logits(images)
        # All batches have the same size, which a runtime compiles once.
        actual = run(as_taken(images, trained.description))
        if actual.shape != expected.shape or not np.isfinite(actual).all():
            raise ConfigError(
                f"the exported file gives outputs {actual.shape} that are not finite or"
                f" not of the shape {expected.shape}; nothing was kept"
            )
        yield expected[:left], actual[:left]
    progress.tell("comparing", count, count)


def predictions_of(outputs: np.ndarray, task: str) -> Any:
    """The most probable class, or for multi-label data, which classes are predicted."""
    return outputs > 0 if task == MULTILABEL else outputs.argmax(-1)
