"""A trained model on its own: load it, predict, and score other data.

A run leaves ``model.json`` and its checkpoints. Nothing else is read here: not the
training data, not the settings, not the optimizer.
"""

from cnnjax.inference.evaluate_on import as_raw, evaluate_on
from cnnjax.inference.load import load
from cnnjax.inference.predictions import ClassSet, Estimate, LabelMap, Prediction
from cnnjax.inference.trained_model import TrainedModel

__all__ = [
    "ClassSet",
    "Estimate",
    "LabelMap",
    "Prediction",
    "TrainedModel",
    "as_raw",
    "evaluate_on",
    "load",
]
