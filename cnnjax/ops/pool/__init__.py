"""Pooling: the maximum or the mean of each window, and the mean over all positions."""

from cnnjax.ops.pool.choose import explain
from cnnjax.ops.pool.global_average import global_avg_pool
from cnnjax.ops.pool.maps import avg_pool, max_pool
from cnnjax.ops.pool.problem import make_problem

__all__ = ["avg_pool", "explain", "global_avg_pool", "make_problem", "max_pool"]
