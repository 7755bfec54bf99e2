"""What a step leaves as it is: frozen parameters and statistics."""

from collections.abc import Mapping, Set
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cnnjax.train.step.state import map_named, matches, named_leaves
from cnnjax.typing import Params

STATISTICS = "batch_stats"  # Flax's collection of running moments


class Frozen(NamedTuple):
    """Names of arrays that are not trained, as regular expressions for whole names.

    Attributes:
        pattern: the frozen ones; empty for none.
        unfrozen: those of them that are trained after all.
    """

    pattern: str = ""
    unfrozen: tuple[str, ...] = ()

    def covers(self, name: str) -> bool:
        """Whether the array called ``name`` is frozen."""
        if not self.pattern or not matches(self.pattern, name):
            return False
        return not any(matches(pattern, name) for pattern in self.unfrozen)


NOTHING = Frozen()


def split(frozen: Frozen, params: Params) -> tuple[Params, Params]:
    """The trained and the frozen parameters: two trees, each with gaps (``None``)."""
    trained = map_named(lambda n, x: None if frozen.covers(n) else x, params)
    kept = map_named(lambda n, x: x if frozen.covers(n) else None, params)
    return trained, kept


def merge(trained: Params, kept: Params) -> Params:
    """The whole tree that ``split`` divided."""
    return jax.tree.map(
        lambda x, y: y if x is None else x, trained, kept, is_leaf=lambda x: x is None
    )


def fill(grads: Params, params: Params) -> Params:
    """Gradients of the trained parameters, with zeros in the gaps."""
    return merge(grads, jax.tree.map(jnp.zeros_like, params))


def inference_layers(frozen: Frozen, variables: Mapping[str, Any]) -> frozenset[str]:
    """The layers with running moments that run as in evaluation.

    They are those whose parameters are all frozen, or whose moments are.

    Args:
        frozen: what is not trained.
        variables: of the network by collection.
    """
    if not frozen.pattern:
        return frozenset()
    params = _by_layer(variables["params"])
    moments = _by_layer(variables.get(STATISTICS, {}))
    return frozenset(
        layer
        for layer, names in moments.items()
        if all(map(frozen.covers, names))
        or (layer in params and all(map(frozen.covers, params[layer])))
    )


def keep_statistics(frozen: Frozen, layers: Set[str], new: Any, old: Any) -> Any:
    """The new statistics by collection, but the old ones where they are frozen.

    Args:
        frozen: what is not trained.
        layers: from ``inference_layers``.
        new: after a batch.
        old: before it.
    """
    if not frozen.pattern:
        return new

    def choose(name, new_leaf, old_leaf):
        is_kept = frozen.covers(name) or _layer(name) in layers
        return old_leaf if is_kept else new_leaf

    return {key: map_named(choose, new[key], old[key]) for key in new}


def _by_layer(tree: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, _ in named_leaves(tree):
        found.setdefault(_layer(name), []).append(name)
    return found


def _layer(name: str) -> str:
    return name.rpartition(".")[0]
