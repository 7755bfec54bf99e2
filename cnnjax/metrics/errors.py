"""Metrics of regression, as scikit-learn defines them; means over several outputs."""

import jax.numpy as jnp
import numpy as np

from cnnjax.metrics.outputs import Outputs
from cnnjax.typing import Array


def absolute_error(predictions: Array, labels: Array) -> Array:
    """The distance between prediction and label of each example."""
    return jnp.abs(predictions - labels).mean(axis=-1)


def squared_error(predictions: Array, labels: Array) -> Array:
    """The square of that distance."""
    return jnp.square(predictions - labels).mean(axis=-1)


def root_mean_squared_error(outputs: Outputs) -> float:
    """The root of the mean squared error, in the unit of the labels."""
    return float(np.sqrt(_squares(outputs).mean(0)).mean())


def r2(outputs: Outputs) -> float:
    """The coefficient of determination; NaN with fewer than two examples.

    It is 1 minus the mean squared error over the variance of the labels. Where all
    labels are equal, it is 1 if all predictions are right, and 0 otherwise.
    """
    labels = outputs.labels.astype(np.float64)
    if len(labels) < 2:
        return np.nan
    errors = _squares(outputs).sum(0)
    spread = np.square(labels - labels.mean(0)).sum(0)
    shares = np.where(errors == 0, 0.0, 1.0)  # where the labels do not vary
    np.divide(errors, spread, out=shares, where=spread > 0)
    return float((1 - shares).mean())


def _squares(outputs: Outputs) -> np.ndarray:
    """The squared error of each number, float64 ``(n, outputs)``."""
    return np.square(outputs.logits.astype(np.float64) - outputs.labels)
