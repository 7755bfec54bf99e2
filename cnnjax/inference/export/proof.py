"""The proof that an exported file computes what the checkpoint computes."""

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
"""The largest difference, as a share of the largest output (or of 1, if that is less).

bfloat16 has 8 bits of precision, and what is rounded when depends on the compiler.
"""

BATCH = 64
"""Images that are compared at a time; the last ones are a batch of another size."""


class Certificate(NamedTuple):
    """What was compared, and how much the outputs differ.

    Attributes:
        data: the source of the images.
        split: which of them.
        examples: how many.
        same_predictions: for how many the most probable class is the same, or the set
            of classes that are more likely than not; ``None`` for a regression.
        largest_difference: between two outputs (logits, or a regression's numbers).
        largest_relative_difference: the same, divided by the largest output.
        tolerance: the largest relative difference that was allowed.
        runtime: what ran the file.
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
        examples: whose images are taken.
        data: where they come from, for the certificate.
        split: which they are.
        by: what runs the file.

    Raises:
        ConfigError: outputs that differ by more than the tolerance.
    """
    model = trained.description
    largest = difference = 0.0
    same = count = 0
    for expected, actual in _outputs(trained, run, examples):
        if actual.shape != expected.shape or not np.isfinite(actual).all():
            raise ConfigError(
                f"the exported file gives outputs {actual.shape} that are not finite or"
                f" not of the shape {expected.shape}; nothing was kept"
            )
        largest = max(largest, float(np.abs(expected).max()))
        difference = max(difference, float(np.abs(actual - expected).max()))
        pairs = _predictions(expected, model.task) == _predictions(actual, model.task)
        same += int(pairs.reshape(len(pairs), -1).all(-1).sum())
        count += len(expected)
    relative, tolerance = difference / max(largest, 1.0), TOLERANCES[model.precision]
    if relative > tolerance:
        raise ConfigError(
            f"the exported file disagrees with the checkpoint on {count} examples"
            f" ({split}): outputs differ by up to {difference:.3g}, with outputs up to"
            f" {largest:.3g}; expected at most {tolerance:g} of that. {same} of"
            f" {count} predictions are the same. Nothing was kept"
        )
    return Certificate(
        *(data, split, count, None if model.task == REGRESSION else same),
        *(difference, relative, tolerance, by),
    )


def _outputs(
    trained: TrainedModel, run: Run, examples: Split
) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """The outputs of the model and of the file, batch by batch."""
    count, size = len(examples.labels), BATCH
    batches = eval_batches(examples, size)
    for start in range(0, count, size):
        progress.tell("comparing", start, count)
        images = next(batches)[0][: count - start]
        # The file's runtime multiplies in full float32; a GPU or TPU does on request.
        with jax.default_matmul_precision("highest"):
            expected = trained.logits(images)
        yield expected, run(as_taken(images, trained.description))
    progress.tell("comparing", count, count)


def _predictions(outputs: np.ndarray, task: str) -> Any:
    return outputs > 0 if task == MULTILABEL else outputs.argmax(-1)
