"""A program that holds ``pmap`` and ``shard_map`` on four devices to one device.

``test_concurrency.py`` runs it in a process of its own, because JAX reads the number of
CPU devices only once, when it starts.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, PartitionSpec

from cnnjax import ops

SPLIT, WHOLE = PartitionSpec("devices"), PartitionSpec()


def gradients(x, kernels):
    """Of two layers, of one device's images."""

    def loss(kernels, x):
        for kernel in kernels:
            x = ops.relu(ops.conv(x, kernel, backend="native"))
        return jnp.sum(x**2)

    return jax.grad(loss)(kernels, x)


def by_pmap(x, kernels):
    mapped = jax.pmap(gradients, axis_name="devices", in_axes=(0, None))
    return mapped(x.reshape(4, -1, *x.shape[1:]), kernels)


def by_shard_map(x, kernels, check_vma):
    mesh = jax.make_mesh((4,), ("devices",), (AxisType.Auto,))

    def of_shard(x, kernels):
        # Each device's own kernels, so that gradients are not summed over devices.
        own = [lax.pcast(k, ("devices",), to="varying") for k in kernels]
        return [g[None] for g in gradients(x, own)]

    mapped = jax.shard_map(
        of_shard,
        mesh=mesh,
        in_specs=(SPLIT, WHOLE),
        out_specs=SPLIT,
        check_vma=check_vma,
    )
    return jax.jit(mapped)(x, kernels)


def check():
    assert jax.local_device_count() == 4
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((32, 14, 14, 16)), jnp.float32)
    kernels = [
        jnp.asarray(0.1 * rng.standard_normal(shape), jnp.float32)
        for shape in ((3, 3, 16, 32), (3, 3, 32, 16))
    ]
    alone = [jax.jit(gradients)(part, kernels) for part in jnp.split(x, 4)]
    for _ in range(20):
        for many in (
            by_pmap(x, kernels),
            by_shard_map(x, kernels, True),
            by_shard_map(x, kernels, False),
        ):
            for device, expected in enumerate(alone):
                for a, b in zip(many, expected, strict=True):
                    np.testing.assert_array_equal(a[device], b)


if __name__ == "__main__":
    check()
