"""The outputs of a network for a whole split, from which metrics are computed."""

import functools
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a network says about each example of a split, in the split's order.

    Attributes:
        logits: float32 ``(n, classes)``.
        labels: the true classes ``(n,)``.
        losses: of each example, ``(n,)``.
        is_sigmoid: whether each class has a probability of its own.
    """

    logits: np.ndarray
    labels: np.ndarray
    losses: np.ndarray
    is_sigmoid: bool = False

    @functools.cached_property
    def probabilities(self) -> np.ndarray:
        """The probability of each class, float64 ``(n, classes)``."""
        return probabilities(self.logits, self.is_sigmoid)

    @functools.cached_property
    def predictions(self) -> np.ndarray:
        """The class with the largest logit ``(n,)``, the first one on ties."""
        return self.logits.argmax(axis=-1)

    @functools.cached_property
    def confidences(self) -> np.ndarray:
        """The probability of each prediction ``(n,)``."""
        return np.take_along_axis(
            self.probabilities, self.predictions[:, None], axis=-1
        )[:, 0]


def probabilities(logits: np.ndarray, is_sigmoid: bool = False) -> np.ndarray:
    """The probability of each class in float64.

    Args:
        logits: ``(..., classes)``.
        is_sigmoid: whether each class has a probability of its own; otherwise they add
            up to 1.
    """
    logits = logits.astype(np.float64)
    # Logits of a diverged network are not finite; neither are its probabilities.
    with np.errstate(over="ignore", invalid="ignore"):
        if is_sigmoid:
            return 1 / (1 + np.exp(-logits))
        shares = np.exp(logits - logits.max(-1, keepdims=True))
        return shares / shares.sum(-1, keepdims=True)
