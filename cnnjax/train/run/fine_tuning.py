"""Fine-tuning: weights of another run, or from a file, as the start of this one."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from cnnjax.config import Config
from cnnjax.errors import ConfigError
from cnnjax.files import expand_path
from cnnjax.models.state_dict.arrays import TIMM, TORCHVISION
from cnnjax.models.state_dict.load import fit_file
from cnnjax.train.run.experiment import Experiment
from cnnjax.train.run.freezing import all_names, check_pattern
from cnnjax.train.run.trained import read_trained
from cnnjax.train.run.workdir import find_run
from cnnjax.train.step.state import TrainState, map_named, matches, named_leaves
from cnnjax.weights import digest_of, hub

FILES = {"torchvision": TORCHVISION, "timm": TIMM, "safetensors": None, "torch": None}
"""The library whose names a weights file has, by its prefix in ``init_from``; with
``None``, the one that matches most names. The format is detected from the content, and
the file may be one on the hub, ``timm:hf:OWNER/NAME``."""


class Weights(NamedTuple):
    """Weights for the start of a run.

    Attributes:
        found: the arrays by our names.
        anew: names of the head's arrays if the head has a different size, so that it is
            not loaded.
        text: a description for messages.
        digest: SHA-256 of the file, or of the arrays of a run.
        source: of a file of the hub, with the hash of the commit; else empty.
    """

    found: Mapping[str, Any]
    anew: Sequence[str]
    text: str
    digest: str = ""
    source: str = ""


def start_from(
    state: TrainState,
    experiment: Experiment,
    config: Config,
    tell: Callable[[str], None],
) -> tuple[TrainState, Weights]:
    """The state with the weights and statistics that ``config.init_from`` names.

    Args:
        state: before the first step, of this run's network.
        experiment: of this run; the state of its optimizer is new.
        config: its ``init_load`` says which names are taken.
        tell: takes a sentence for people.

    Returns:
        The state, and the weights.

    Raises:
        ConfigError: no such run or file, a pattern that matches nothing, or an array
            that the other one lacks or has with another shape.
    """
    check_pattern("init_load", config.init_load, state.variables)
    kind, _, file = config.init_from.partition(":")
    if hub.is_on_hub(config.init_from):
        weights = _read_file(experiment.model, state, "torch", config.init_from, config)
    elif kind in FILES:
        weights = _read_file(experiment.model, state, kind, file, config)
    else:
        weights = _read_run(config)
    variables = {
        collection: _take(config, tree, weights)
        for collection, tree in state.variables.items()
    }
    new = [
        name
        for name in all_names(variables)
        if name in weights.anew or not matches(config.init_load, name)
    ]
    tell(f"starting from {weights.text}; not loaded: {', '.join(new) or 'nothing'}")
    params = variables.pop("params")
    started = state._replace(
        params=params,
        statistics=variables,
        opt_state=jax.jit(experiment.optimizer.init)(params),
        average={"params": params, **variables} if state.average else {},
    )
    return started, weights


def _read_run(config: Config) -> Weights:
    variables, step = read_trained(find_run(config.init_from, "init_from"))
    found = {
        name: leaf for tree in variables.values() for name, leaf in named_leaves(tree)
    }
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(found[name]).tobytes())
    text = f"{config.init_from}, step {step}"
    return Weights(found, (), text, digest.hexdigest())


def _read_file(
    model: nn.Module, state: TrainState, kind: str, file: str, config: Config
) -> Weights:
    source = ""
    if hub.is_on_hub(file):
        path, source = hub.download(file)
    else:
        path = expand_path(file, f"the file of init_from={config.init_from!r}")
    shapes = {
        name: leaf.shape
        for tree in state.variables.values()
        for name, leaf in named_leaves(tree)
    }
    fitted = fit_file(
        model, shapes, path, FILES[kind], lambda name: matches(config.init_load, name)
    )
    digest = digest_of(path)
    text = f"{source or config.init_from} (SHA-256 {digest[:16]}...)"
    return Weights(fitted.arrays, fitted.anew, text, digest, source)


def _take(config: Config, tree: Any, weights: Weights) -> Any:
    """A collection with those arrays of the weights that ``init_load`` matches."""

    def choose(name, leaf):
        if name in weights.anew or not matches(config.init_load, name):
            return leaf
        known = weights.found
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
