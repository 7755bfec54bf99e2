"""In the check mode a kernel that leaves its arrays ends the process: none does."""

import pytest

from tests.support.native.programs import run

POOL_AND_NORM = """
import itertools
import jax, jax.numpy as jnp, numpy as np
from cnnjax import ops
from cnnjax.native import library
assert library.status().library, library.status().reason
rng = np.random.default_rng(0)
for channels, dtype in itertools.product([8, 9, 21], ["float32", "bfloat16"]):
    x = jnp.asarray(rng.normal(size=(3, 9, 7, channels)), dtype)
    ones = jnp.ones(channels, jnp.float32)

    def loss(x, ones, strides):
        y, *_ = ops.batch_norm(x, ones, 0 * ones, add=x, relu=True)
        y = ops.max_pool(y, (3, 2), strides=strides, padding="SAME")
        return jnp.sum(jnp.sin(ops.avg_pool(y, 2, strides=strides).astype(ones.dtype)))

    for strides in (1, 2):
        gradient = jax.jit(jax.grad(loss, (0, 1)), static_argnums=2)
        for leaf in jax.tree.leaves(gradient(x, ones, strides)):
            assert jnp.isfinite(leaf).all(), (channels, dtype, strides)
"""


@pytest.mark.slow
def test_300_convolutions_stay_within_their_arrays_and_are_right():
    run("scripts/fuzz_native.py", "--problems=300", "--chunk=150")


@pytest.mark.slow
def test_pooling_and_batch_normalization_write_all_of_their_arrays_and_no_more():
    run("-c", POOL_AND_NORM, CNNJAX_NATIVE_CHECK="1")
