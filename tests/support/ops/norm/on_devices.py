"""A program that holds normalization on four devices to one large batch.

``test_on_devices.py`` runs it in a process of its own, because JAX reads the number of
CPU devices only once, when it starts.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, PartitionSpec

from cnnjax import layers, ops
from cnnjax.ops.norm.maps import Devices, moments, normalize
from tests.support.ops.closeness import normal

WHOLE = PartitionSpec()


def make_arrays():
    rng = np.random.default_rng(0)
    return [normal(rng, *shape)[0] for shape in ((8, 3, 5), (5,), (5,))]


def loss(x, scale, bias, axis_name=None, share=1.0, groups=None, fast=True):
    """Depends on the outputs, and with the given share on the moments."""
    devices = Devices(axis_name, groups)
    mean, variance = moments(x, (0, 1), fast=fast, devices=devices)
    y = normalize(x, mean, variance, scale.reshape(1, 1, -1), bias.reshape(1, 1, -1))
    return jnp.sum(y**3) + share * (jnp.sum(mean**2) + jnp.sum(jnp.sin(variance)))


def assert_equal(actual, expected):
    actual, expected = jax.tree.leaves(actual), jax.tree.leaves(expected)
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def gradients(function):
    return jax.grad(function, (0, 1, 2))


def shard(function, names, check_vma, outputs):
    sizes = (4,) if len(names) == 1 else (2, 2)
    mesh = jax.make_mesh(sizes, names, (AxisType.Auto,) * len(names))
    return jax.jit(
        jax.shard_map(
            function,
            mesh=mesh,
            in_specs=(PartitionSpec(names), WHOLE, WHOLE),
            out_specs=outputs,
            check_vma=check_vma,
        )
    )


def check_shard_map(names, check_vma, fast):
    """The derivative is taken on each device."""
    axis_name = names[0] if len(names) == 1 else names

    def one(*args):
        return loss(*args, axis_name, 0.25, fast=fast)

    def on_device(*args):
        if check_vma:  # JAX adds up the gradients of what all devices share
            return gradients(lambda *args: lax.psum(one(*args), axis_name))(*args)
        dx, *others = gradients(one)(*args)
        return dx, *lax.psum(others, axis_name)

    args = make_arrays()
    sharded = shard(on_device, names, check_vma, (PartitionSpec(names), WHOLE, WHOLE))
    assert_equal(sharded(*args), gradients(loss)(*args))


def check_derivatives_of_shard_map(check_vma):
    """The derivative is taken outside, and twice."""

    def total(*args):
        def on_device(*args):
            return loss(*args, "data", 0.25)[None]

        parts = PartitionSpec("data")
        return shard(on_device, ("data",), check_vma, parts)(*args).sum()

    def second(function):
        def norm(*args):
            return sum(jnp.sum(g**2) for g in gradients(function)(*args))

        return jax.jit(gradients(norm))

    args = make_arrays()
    assert_equal(gradients(total)(*args), gradients(loss)(*args))
    assert_equal(second(total)(*args), second(loss)(*args))


def check_pmap(outside):
    x, scale, bias = make_arrays()
    parts = x.reshape(4, 2, 3, 5)

    def one(*args):
        return loss(*args, "data", 0.25)

    axes = {"in_axes": (0, None, None), "axis_name": "data"}
    if outside:
        total = gradients(lambda *args: jax.pmap(one, **axes)(*args).sum())
        dx, dscale, dbias = total(parts, scale, bias)
    else:
        dx, *others = jax.pmap(gradients(one), **axes)(parts, scale, bias)
        dscale, dbias = (d.sum(0) for d in others)
    expected = gradients(loss)(x, scale, bias)
    assert_equal((dx.reshape(x.shape), dscale, dbias), expected)


def check_groups():
    """Two pairs of devices, each with moments of its own."""
    x, scale, bias = make_arrays()
    pairs = ((0, 2), (1, 3))
    parts = x.reshape(4, 2, 3, 5)

    def one(x):
        return loss(x, scale, bias, "data", 0.5, pairs)

    mapped = jax.pmap(jax.grad(one), axis_name="data")(parts)
    sharded = shard(
        lambda x, *_: jax.grad(one)(x), ("data",), False, PartitionSpec("data")
    )(x, scale, bias)
    for pair in pairs:
        own = jnp.concatenate([parts[i] for i in pair])
        dx = jax.grad(loss)(own, scale, bias)
        assert_equal(jnp.concatenate([mapped[i] for i in pair]), dx)
        own = jnp.concatenate([sharded.reshape(parts.shape)[i] for i in pair])
        assert_equal(own, dx)


def check_a_mask_of_each_device():
    """What Flax does: every device's mean weighs the same."""
    x, scale, bias = make_arrays()
    mask = np.arange(24).reshape(8, 3, 1) % 5 > 0

    def on_device(x, mask):
        y, mean, variance = ops.batch_norm(x, scale, bias, mask=mask, axis_name="data")
        return y, mean[None], variance[None]

    mesh = jax.make_mesh((4,), ("data",), (AxisType.Auto,))
    split = PartitionSpec("data")
    run = jax.shard_map(
        on_device, mesh=mesh, in_specs=(split, split), out_specs=(split,) * 3
    )
    _, mean, variance = jax.jit(run)(x, mask)
    weights = mask.reshape(4, 2, 3, 1) / mask.reshape(4, -1).sum(1).reshape(4, 1, 1, 1)
    parts = np.asarray(x).reshape(4, 2, 3, 5)
    expected = (weights * parts).sum((1, 2)).mean(0)
    assert_equal(mean, np.broadcast_to(expected, (4, 5)))
    squares = (weights * (parts - expected) ** 2).sum((1, 2)).mean(0)
    assert_equal(variance, np.broadcast_to(squares, (4, 5)))


def check_an_input_that_all_devices_share():
    args = make_arrays()
    mesh = jax.make_mesh((4,), ("data",), (AxisType.Auto,))
    run = jax.shard_map(
        jax.grad(lambda *args: loss(*args, "data")),
        mesh=mesh,
        in_specs=(WHOLE,) * 3,
        out_specs=WHOLE,
    )
    assert_equal(jax.jit(run)(*args), jax.grad(loss)(*args))


def check_layer():
    """The running statistics of ``layers.BatchNorm`` are those of the whole batch."""
    x = make_arrays()[0]
    whole = layers.BatchNorm(use_running_average=False)
    variables = whole.init(jax.random.key(0), x)
    expected = whole.apply(variables, x, mutable=["batch_stats"])
    layer = layers.BatchNorm(use_running_average=False, axis_name="data")

    def on_device(x, *_):
        return layer.apply(variables, x, mutable=["batch_stats"])

    outputs = PartitionSpec("data"), WHOLE
    empty = jnp.zeros(())
    assert_equal(shard(on_device, ("data",), True, outputs)(x, empty, empty), expected)


def main():
    assert jax.device_count() == 4
    for check_vma in (True, False):
        check_shard_map(("data",), check_vma, fast=True)
        check_shard_map(("data", "model"), check_vma, fast=False)
        check_derivatives_of_shard_map(check_vma)
    for outside in (True, False):
        check_pmap(outside)
    check_groups()
    check_a_mask_of_each_device()
    check_an_input_that_all_devices_share()
    check_layer()


if __name__ == "__main__":
    main()
