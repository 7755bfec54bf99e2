"""Everything that a training step changes, as one tree of arrays."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from cnnjax.typing import Params


class TrainState(NamedTuple):
    """The state between two steps.

    Attributes:
        step: how many steps were taken, int32.
        params: what is trained.
        statistics: other variables of the network by collection, as ``batch_stats``.
        opt_state: the optimizer's memory.
        key: the run's random key as uint32 words; each step folds its number in.
    """

    step: jax.Array
    params: Params
    statistics: Mapping[str, Any]
    opt_state: optax.OptState
    key: jax.Array


def make_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    shape: tuple[int, ...],
    seed: int,
) -> TrainState:
    """The state before the first step.

    Args:
        model: a network that is called as ``model(x, train=...)``.
        optimizer: what will update the parameters.
        shape: ``(*spatial, channels)`` of one example.
        seed: decides the weights and all randomness of the run.
    """

    @jax.jit
    def make(key):
        variables: Any = model.init(key, jnp.zeros((1, *shape)), train=False)
        params = variables.pop("params")
        step = jnp.zeros((), jnp.int32)
        words = jax.random.key_data(jax.random.fold_in(key, 1))
        return TrainState(step, params, variables, optimizer.init(params), words)

    return make(jax.random.key(seed))


def count_parameters(params: Params) -> int:
    """The number of trained values."""
    return sum(array.size for array in jax.tree.leaves(params))
