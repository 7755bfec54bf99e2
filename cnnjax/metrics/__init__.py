"""Metrics by name: means over examples, and values of a whole split."""

from cnnjax.metrics.named import METRICS, Metric, find_metric
from cnnjax.metrics.outputs import Outputs, probabilities
from cnnjax.metrics.per_class import ClassScore, confusion_matrix, score_classes
from cnnjax.metrics.pixels import PixelScore, score_pixels

__all__ = [
    "METRICS",
    "ClassScore",
    "Metric",
    "Outputs",
    "PixelScore",
    "confusion_matrix",
    "find_metric",
    "probabilities",
    "score_classes",
    "score_pixels",
]
