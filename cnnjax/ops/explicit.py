"""Arrays that are divided along the explicit axes of a mesh.

``jax.make_mesh`` makes such axes: how they divide an array is a part of its type, and
JAX asks where it cannot tell the type of a result. The compiler cannot divide the calls
of oneDNN's kernels, so that XLA computes these arrays; inside of ``jax.shard_map`` each
device has an array of its own.
"""

import jax
from jax.sharding import NamedSharding, PartitionSpec


def is_divided(*arrays: jax.Array) -> bool:
    """Whether the type of any of the arrays says that a mesh divides it."""
    return any(any(jax.typeof(array).sharding.spec) for array in arrays)


def refusal(*arrays: jax.Array) -> str:
    """Why oneDNN's kernels cannot take these arrays; empty where they can."""
    if not is_divided(*arrays):
        return ""
    return (
        "a mesh with explicit axes divides the arrays; call it inside of jax.shard_map"
    )


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
