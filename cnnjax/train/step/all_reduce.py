"""The sum of many arrays over all devices, in one message for each dtype."""

from collections import defaultdict
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def all_reduce(tree: Any, axis_name: str) -> Any:
    """The sum of each array over the devices of an axis.

    Arrays of one dtype are laid end to end, so that one all-reduce carries them all,
    however many there are.

    Args:
        tree: arrays of any shapes.
        axis_name: of the devices.
    """
    if lax.axis_size(axis_name) == 1:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    by_dtype = defaultdict(list)
    for index, leaf in enumerate(leaves):
        by_dtype[leaf.dtype].append(index)
    for indices in by_dtype.values():
        fused = jnp.concatenate([leaves[i].ravel() for i in indices])
        total = lax.psum(fused, axis_name)
        start = 0
        for i in indices:
            end = start + leaves[i].size
            leaves[i] = total[start:end].reshape(leaves[i].shape)
            start = end
    return jax.tree.unflatten(structure, leaves)
