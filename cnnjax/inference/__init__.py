"""A trained model on its own: load it, predict, and score other data.

A run leaves ``model.json`` and its checkpoints. Nothing else is read here: not the
training data, not the settings, not the optimizer.
"""

from cnnjax.inference.evaluate_on import as_raw, evaluate_on
from cnnjax.inference.load import load
from cnnjax.inference.trained_model import (
    ClassSet,
    Estimate,
    Prediction,
    TrainedModel,
)

__all__ = [
    "ClassSet",
    "Estimate",
    "Prediction",
    "TrainedModel",
    "as_raw",
    "evaluate_on",
    "load",
]
