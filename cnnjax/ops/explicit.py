"""Arrays that the CPU kernels cannot take, because of their type.

``jax.make_mesh`` makes explicit axes: how they divide an array is part of its type, and
JAX raises an error where it cannot infer the type of a result. The compiler cannot
divide calls of these kernels, so XLA computes such arrays; inside of ``jax.shard_map``
each device has an array of its own.

``jax.export`` accepts shapes with symbolic sizes. No implementation can
be chosen by size then, so XLA computes these arrays too.
"""

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec


def is_divided(*arrays: jax.Array) -> bool:
    """Whether the type of any of the arrays says that a mesh divides it."""
    return any(any(jax.typeof(array).sharding.spec) for array in arrays)


def refusal(*arrays: jax.Array) -> str:
    """Why the CPU kernels cannot take these arrays; empty where they can."""
    if is_divided(*arrays):
        return (
            "a mesh with explicit axes divides the arrays; call it inside of"
            " jax.shard_map"
        )
    if any(is_symbolic(array.shape) for array in arrays):
        return "sizes are symbolic, expected numbers"
    return ""


def is_symbolic(shape: Sequence[Any]) -> bool:
    """Whether any size is known only when an exported program is called."""
    return not all(isinstance(size, int) for size in shape)


def sharding_of_product(
    ndim: int, one: tuple[jax.Array, int], other: tuple[jax.Array, int]
) -> NamedSharding | None:
    """The type of a sum of products over all but one axis of two arrays.

    Args:
        ndim: axes of the result; its last two are these.
        one: an array and its axis that stays.
        other: the same of the other one.

    Returns:
        ``None`` where nothing is divided.
    """
    shardings = [jax.typeof(array).sharding for array, _ in (one, other)]
    meshes = [sharding.mesh for sharding in shardings if any(sharding.spec)]
    if not meshes:
        return None
    spec = [s.spec[axis] for s, (_, axis) in zip(shardings, (one, other), strict=True)]
    return NamedSharding(meshes[0], PartitionSpec(*[None] * (ndim - 2), *spec))
