"""Hand-written gradients against ``jax.grad``, a float64 run and finite differences."""

from cnnjax.compare.gradients import Comparison, Row, compare_gradients

__all__ = ["Comparison", "Row", "compare_gradients"]
