"""Arrays of a state by name: the path to each, its parts joined by dots."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import jax


def named_leaves(tree: Any) -> Iterator[tuple[str, Any]]:
    """Each array with its name, as ``"Conv_0.kernel"``, in the order of the tree.

    Named tuples and the mappings that they become on disk share their names.
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
