"""Arrays that are divided along the explicit axes of a mesh.

``jax.make_mesh`` makes such axes: how they divide an array is a part of its type, and
JAX asks where it cannot tell the type of a result. The compiler cannot divide the calls
of oneDNN's kernels, so that XLA computes these arrays; inside of ``jax.shard_map`` each
device has an array of its own.
"""

import jax
from jax.sharding import NamedSharding, PartitionSpec

REASON = "a mesh with explicit axes divides the arrays; call it inside of jax.shard_map"


def is_divided(*arrays: jax.Array) -> bool:
    """Whether the type of any of the arrays says that a mesh divides it."""
    return any(any(jax.typeof(array).sharding.spec) for array in arrays)


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
    if not is_divided(one[0], other[0]):
        return None
    shardings = [jax.typeof(array).sharding for array, _ in (one, other)]
    spec = [s.spec[axis] for s, (_, axis) in zip(shardings, (one, other), strict=True)]
    mesh = next(s.mesh for s in shardings if any(s.spec))
    return NamedSharding(mesh, PartitionSpec(*[None] * (ndim - 2), *spec))
