"""Fine-tuning: weights of another run as the start of this one."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from cnnjax.config import Config
from cnnjax.errors import ConfigError
from cnnjax.train.run.trained import read_trained
from cnnjax.train.run.workdir import find_run
from cnnjax.train.step.state import TrainState, map_named, matches, named_leaves


def start_from(
    state: TrainState,
    optimizer: optax.GradientTransformation,
    config: Config,
    tell: Callable[[str], None],
) -> TrainState:
    """The state with the weights and statistics of the run ``config.init_from``.

    Args:
        state: before the first step, of this run's network.
        optimizer: of this run; its state is new.
        config: its ``init_load`` says which names are taken.
        tell: takes a sentence for people.

    Raises:
        ConfigError: no such run, a pattern that matches nothing, or an array that the
            other run lacks or has with another shape.
    """
    origin = find_run(config.init_from, "init_from")
    found, step = read_trained(origin)
    check_pattern("init_load", config.init_load, state.variables)
    variables = {
        collection: _take(config, tree, dict(named_leaves(found.get(collection, {}))))
        for collection, tree in state.variables.items()
    }
    new = [
        name for name in _all_names(variables) if not matches(config.init_load, name)
    ]
    tell(
        f"starting from {config.init_from}, step {step}; not taken from there:"
        f" {', '.join(new) or 'nothing'}"
    )
    params = variables.pop("params")
    return state._replace(
        params=params,
        statistics=variables,
        opt_state=jax.jit(optimizer.init)(params),
        average={"params": params, **variables} if state.average else {},
    )


def check_pattern(setting: str, pattern: str, variables: Mapping[str, Any]) -> None:
    """Refuses a pattern that matches no name.

    Args:
        setting: the pattern's name.
        pattern: a regular expression for whole names.
        variables: the network's arrays by collection.

    Raises:
        ConfigError: with the names there are.
    """
    names = _all_names(variables)
    if not any(matches(pattern, name) for name in names):
        raise ConfigError(
            f"{setting} is {pattern!r}, which matches no whole name; names are"
            f" {', '.join(names)}; 'Conv_0.*' matches a whole layer"
        )


def _all_names(variables: Mapping[str, Any]) -> list[str]:
    return [name for tree in variables.values() for name, _ in named_leaves(tree)]


def _take(config: Config, tree: Any, known: Mapping[str, Any]) -> Any:
    """A collection with the arrays of the other run that ``init_load`` matches."""

    def choose(name, leaf):
        if not matches(config.init_load, name):
            return leaf
        if name in known and known[name].shape == leaf.shape:
            return jnp.asarray(known[name], leaf.dtype)
        has = f"has shape {known[name].shape}" if name in known else "is missing"
        layer = name.rpartition(".")[0] or name
        raise ConfigError(
            f"init_load is {config.init_load!r}, but {name} {has} in"
            f" {config.init_from}, expected shape {leaf.shape}; to initialize it"
            f" instead, leave it out, as with --config.init_load='(?!{layer}\\.).*'"
        )

    return map_named(choose, tree)
