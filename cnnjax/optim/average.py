"""Moving averages of weights, which often score better than the weights do."""

from typing import Any

import jax
import jax.numpy as jnp
import optax


def update_average(average: Any, values: Any, step: jax.Array, decay: float) -> Any:
    """The exponential moving average (EMA) after one more step.

    ``average <- d * average + (1 - d) * values`` with ``d = min(decay, (1 + t) / (10 +
    t))`` after t steps. Early on d is small, so that the average quickly forgets the
    random initial weights (like TensorFlow's ``ExponentialMovingAverage`` with
    ``num_updates``).

    Args:
        average: a tree of arrays.
        values: the newest values, a tree of the same structure.
        step: t, the number of steps taken before this one.
        decay: the fraction that each step keeps in the long run, between 0 and 1.
    """
    t = jnp.asarray(step, jnp.float32)
    rate = 1 - jnp.minimum(decay, (1 + t) / (10 + t))
    moved = optax.incremental_update(values, average, rate)
    return jax.tree.map(lambda x, old: x.astype(old.dtype), moved, average)
