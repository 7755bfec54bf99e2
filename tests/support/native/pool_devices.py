"""A program that holds poolings on two devices to those on one.

``test_pool.py`` runs it in a process of its own, because JAX reads the number of
CPU devices only once, when it starts.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, PartitionSpec

from cnnjax import ops

SPLIT = PartitionSpec("devices")


def gradients(x):
    def loss(x):
        y = ops.max_pool(x, 3, strides=2, padding="SAME", backend="native")
        return jnp.sum(ops.avg_pool(y, 2, backend="native") ** 2)

    return jax.grad(loss)(x)


def check():
    assert jax.local_device_count() == 2
    x = np.random.default_rng(0).standard_normal((16, 30, 31, 16), np.float32)
    alone = jax.jit(gradients)(x)
    mesh = jax.make_mesh((2,), ("devices",), (AxisType.Auto,))
    for check_vma in (True, False):
        mapped = jax.jit(
            jax.shard_map(
                gradients,
                mesh=mesh,
                in_specs=SPLIT,
                out_specs=SPLIT,
                check_vma=check_vma,
            )
        )
        for _ in range(20):
            np.testing.assert_array_equal(mapped(x), alone)
    for _ in range(20):
        halves = jax.pmap(gradients)(x.reshape(2, 8, *x.shape[1:]))
        np.testing.assert_array_equal(halves.reshape(x.shape), alone)


if __name__ == "__main__":
    check()
