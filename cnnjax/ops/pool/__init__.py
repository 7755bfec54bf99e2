"""Pooling: the maximum or the mean of each window, and the mean over all positions."""

from cnnjax.ops.pool.global_average import global_avg_pool
from cnnjax.ops.pool.maps import avg_pool, max_pool

__all__ = ["avg_pool", "global_avg_pool", "max_pool"]
