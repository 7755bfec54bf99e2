"""Normalization: over the batch, over each example, and fused with a ReLU."""

from cnnjax.ops.norm.batch import batch_norm, batch_norm_inference
from cnnjax.ops.norm.choose import explain
from cnnjax.ops.norm.per_example import group_norm, layer_norm
from cnnjax.ops.norm.problem import make_problem

__all__ = [
    "batch_norm",
    "batch_norm_inference",
    "explain",
    "group_norm",
    "layer_norm",
    "make_problem",
]
