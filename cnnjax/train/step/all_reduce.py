"""Sums over devices, all arrays of one dtype in a single message."""

from collections import defaultdict
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def sum_over(axis_name: str | None, tree: Any) -> Any:
    """The sum of each array over the devices of an axis.

    The arrays of one dtype are laid end to end, so that there is one all-reduce for
    each dtype, however many arrays there are.

    Args:
        axis_name: of the devices; ``None``: there is one.
        tree: arrays of any shapes.
    """
    if axis_name is None or lax.axis_size(axis_name) == 1:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    places = defaultdict(list)
    for place, leaf in enumerate(leaves):
        places[leaf.dtype].append(place)
    for group in places.values():
        total = lax.psum(jnp.concatenate([leaves[i].ravel() for i in group]), axis_name)
        start = 0
        for i in group:
            end = start + leaves[i].size
            leaves[i] = total[start:end].reshape(leaves[i].shape)
            start = end
    return jax.tree.unflatten(structure, leaves)
