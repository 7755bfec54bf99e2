"""The accuracy of a quantized file beside that of its checkpoint."""

from typing import NamedTuple

import numpy as np

from cnnjax.data import Split
from cnnjax.data.tasks import is_known
from cnnjax.errors import ConfigError, unknown_name
from cnnjax.inference.export import onnx_file
from cnnjax.inference.export.program import Run
from cnnjax.inference.export.proof import outputs_of, predictions_of
from cnnjax.inference.trained_model import TrainedModel
from cnnjax.train.step.loss import is_correct

METHODS = ("dynamic", "static")


class Quantization(NamedTuple):
    """How to quantize.

    Attributes:
        method: ``"static"``: weights and activations are integers, whose ranges come
            from training images; ``"dynamic"``: the ranges of activations are measured
            at each call.
        calibration_examples: the number of training images for ``"static"``.
        max_loss: the largest loss of accuracy that is allowed, as a fraction of 1.
    """

    method: str
    calibration_examples: int = 200
    max_loss: float = 0.01

    def check(self) -> None:
        """Refuses values that mean nothing.

        Raises:
            ConfigError: names the option.
        """
        if self.method not in METHODS:
            raise ConfigError(str(unknown_name("quantization", self.method, METHODS)))
        if self.calibration_examples < 1:
            raise ConfigError(
                f"--calibration-examples is {self.calibration_examples}, expected a"
                " whole number above 0"
            )
        if not 0 <= self.max_loss <= 1:
            raise ConfigError(
                f"--max-loss is {self.max_loss:g}, expected a fraction from 0 to 1,"
                " such as 0.01 for one percentage point of accuracy"
            )


class QuantizedCertificate(NamedTuple):
    """How the quantized file differs from the checkpoint.

    Attributes:
        data: the source of the images.
        split: the split of the source.
        examples: the number of images.
        same_predictions: for how many of them the most probable class (for multi-label
            data, the set of classes) is the same.
        accuracy: of the checkpoint, on the examples whose label is known.
        quantized_accuracy: of the file.
        max_loss: the largest difference of the two that is allowed.
        largest_difference: between two logits.
        largest_relative_difference: the same, divided by the largest logit.
        float_bytes: the size of the file without quantization.
        quantized_bytes: the size of the graph with quantization.
        quantization: the method.
        calibration_examples: for the static method; else ``None``.
        runtime: what ran the file.
    """

    data: str
    split: str
    examples: int
    same_predictions: int
    accuracy: float
    quantized_accuracy: float
    max_loss: float
    largest_difference: float
    largest_relative_difference: float
    float_bytes: int
    quantized_bytes: int
    quantization: str
    calibration_examples: int | None
    runtime: str


def measure(
    trained: TrainedModel,
    run: Run,
    examples: Split,
    named: tuple[str, str],
    sizes: tuple[int, int],
    how: Quantization,
) -> QuantizedCertificate:
    """Compares a quantized file with its checkpoint, by accuracy and by outputs.

    Args:
        trained: the checkpoint.
        run: runs the file.
        examples: the images, and their labels as classes of the model.
        named: the source and the split, for the certificate.
        sizes: bytes before and after quantization.
        how: the method and the limit.

    Raises:
        ConfigError: outputs that are not finite, or no example with a known label.
    """
    task, method = trained.description.task, how.method
    right, same, known = np.zeros(2), 0, 0
    largest = difference = 0.0
    start = 0
    for expected, actual in outputs_of(trained, run, examples):
        labels = np.asarray(examples.labels[start : start + len(expected)])
        start += len(expected)
        has_label = is_known(labels)
        known += has_label.sum()
        right += [
            (np.asarray(is_correct(each, labels, task)) & has_label).sum()
            for each in (expected, actual)
        ]
        alike = predictions_of(expected, task) == predictions_of(actual, task)
        same += int(alike.reshape(len(alike), -1).all(-1).sum())
        largest = max(largest, float(np.abs(expected).max()))
        difference = max(difference, float(np.abs(actual - expected).max()))
    if not known:
        raise ConfigError("no example has a known label, which accuracy needs")
    ours, theirs = (right / known).tolist()
    return QuantizedCertificate(
        *(*named, start, same, ours, theirs, how.max_loss, difference),
        *(difference / max(largest, 1.0), *sizes, method),
        how.calibration_examples if method == "static" else None,
        onnx_file.runtime(),
    )
