"""Everything that a training step changes, as one tree of arrays, each with a name."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from cnnjax.typing import Params


class TrainState(NamedTuple):
    """The state between two steps.

    Attributes:
        step: number of steps taken, int32.
        params: the trained parameters.
        statistics: other variables of the network by collection, such as
            ``batch_stats``.
        opt_state: state of the optimizer.
        key: the run's random key as uint32 words; each step folds its number in.
        average: the moving average of ``variables``; empty if none is kept.
        rate_scale: factor on all updates; 1, until a rollback lowers it.
        usual_loss: the running mean of the loss, which tells what a spike is.
    """

    step: jax.Array
    params: Params
    statistics: Mapping[str, Any]
    opt_state: optax.OptState
    key: jax.Array
    average: Mapping[str, Any]
    rate_scale: jax.Array
    usual_loss: jax.Array

    @property
    def variables(self) -> dict[str, Any]:
        """Parameters and statistics by collection, as ``model.apply`` takes them."""
        return {"params": self.params, **self.statistics}


def make_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    shape: tuple[int, ...],
    seed: int,
    *,
    averaged: bool = False,
) -> TrainState:
    """The state before the first step.

    Args:
        model: called as ``model(x, train=...)``.
        optimizer: of the run.
        shape: ``(*spatial, channels)`` of one example.
        seed: determines the weights and all randomness of the run.
        averaged: whether the state keeps a moving average of the weights.
    """

    @jax.jit
    def make(key):
        variables: Any = model.init(key, jnp.zeros((1, *shape)), train=False)
        params = variables.pop("params")
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            statistics=variables,
            opt_state=optimizer.init(params),
            key=run_key(key),
            average={"params": params, **variables} if averaged else {},
            rate_scale=jnp.ones(()),
            usual_loss=jnp.zeros(()),
        )

    return make(jax.random.key(seed))


def run_key(key: jax.Array) -> jax.Array:
    """The key of all steps of a run, as ``TrainState`` holds it.

    Args:
        key: made from the run's seed.
    """
    return jax.random.key_data(jax.random.fold_in(key, 1))


def step_key(words: jax.Array, step: Any) -> jax.Array:
    """The key of one step.

    Args:
        words: the run's key, see ``run_key``.
        step: how many steps came before.
    """
    return jax.random.fold_in(jax.random.wrap_key_data(words), step)


def trained_variables(state: TrainState) -> dict[str, Any]:
    """The variables to evaluate: the averaged weights if the state keeps them."""
    return dict(state.average) or state.variables


def count_parameters(params: Params) -> int:
    """The number of trained parameters."""
    return sum(array.size for array in jax.tree.leaves(params))


def named_leaves(tree: Any) -> Iterator[tuple[str, Any]]:
    """Each array with its name, such as ``"Conv_0.kernel"``, in the order of the tree.

    A name is the path to the array, joined by dots. Named tuples and the mappings that
    they become on disk give the same names.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        yield _name(path), leaf


def map_named(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """A tree of ``function(name, leaf, *other_leaves)``."""
    return jax.tree_util.tree_map_with_path(
        lambda path, *leaves: function(_name(path), *leaves), tree, *others
    )


def matches(pattern: str, name: str) -> bool:
    """Whether a regular expression matches the whole of a name."""
    return re.fullmatch(pattern, name) is not None


def _name(path) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")
