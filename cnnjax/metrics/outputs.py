"""The outputs of a network for a whole split, from which metrics are computed."""

import functools
from dataclasses import dataclass, replace

import numpy as np

from cnnjax.data.tasks import (
    CLASSIFICATION,
    MULTILABEL,
    REGRESSION,
    classes_of,
    is_known,
)


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a network says about each example of a split, in the split's order.

    Attributes:
        logits: float32 ``(n, classes)``; the predicted numbers of a regression.
        labels: the true ones, in one of the forms in ``data/tasks.py``.
        losses: of each example, ``(n,)``.
        is_sigmoid: whether each class has a probability of its own.
        task: what the labels mean.
    """

    logits: np.ndarray
    labels: np.ndarray
    losses: np.ndarray
    is_sigmoid: bool = False
    task: str = CLASSIFICATION

    @functools.cached_property
    def classes(self) -> np.ndarray:
        """The true class of each example ``(n,)``; -1 where it is unknown."""
        return classes_of(self.labels)

    @functools.cached_property
    def probabilities(self) -> np.ndarray:
        """The probability of each class, float64 ``(n, classes)``."""
        return probabilities(self.logits, self.is_sigmoid)

    @functools.cached_property
    def predictions(self) -> np.ndarray:
        """What is predicted for each example.

        The class with the largest logit ``(n,)``, the first one on ties; with several
        classes per example, whether each is more likely than not ``(n, classes)``; the
        numbers of a regression ``(n, outputs)``.
        """
        if self.task == MULTILABEL:
            return self.logits > 0
        return self.logits if self.task == REGRESSION else self.logits.argmax(axis=-1)

    @functools.cached_property
    def confidences(self) -> np.ndarray:
        """The probability of each predicted class ``(n,)``."""
        return np.take_along_axis(
            self.probabilities, self.predictions[:, None], axis=-1
        )[:, 0]

    def known(self) -> "Outputs":
        """The same for those examples whose label is not unknown."""
        chosen = is_known(self.labels)
        if chosen.all():
            return self
        logits, labels, losses = (
            x[chosen] for x in (self.logits, self.labels, self.losses)
        )
        return replace(self, logits=logits, labels=labels, losses=losses)


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
