"""Many threads and many devices at once compute what one computes alone."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from tests.support.native.programs import run

SHAPES = [
    ((8, 14, 14, 16), (3, 3, 16, 32)),
    ((4, 28, 28, 1), (5, 5, 1, 8)),
    ((8, 12, 12, 32), (3, 3, 32, 32)),
    ((16, 40, 8), (3, 8, 16)),
    ((8, 2, 2, 128), (3, 3, 128, 128)),
]


def test_threads_compute_bit_for_bit_what_one_does():
    """Scratch memory of oneDNN's own would be written by all threads at once."""
    rng = np.random.default_rng(0)

    def make(x, kernel):
        args = [jnp.asarray(rng.standard_normal(s), jnp.float32) for s in (x, kernel)]
        loss = lambda *a: jnp.sum(ops.conv(*a, backend="native") ** 2)  # noqa: E731
        return jax.jit(jax.value_and_grad(loss, (0, 1))), args

    steps = [make(*shapes) for shapes in SHAPES]
    alone = [jax.tree.map(np.asarray, step(*args)) for step, args in steps]

    def work(thread):
        for n in range(200):
            which = (thread + n) % len(steps)
            step, args = steps[which]
            for a, b in zip(
                jax.tree.leaves(step(*args)), jax.tree.leaves(alone[which]), strict=True
            ):
                np.testing.assert_array_equal(a, b)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


@pytest.mark.slow
def test_four_devices_compute_bit_for_bit_what_one_does():
    run(
        "-m",
        "tests.support.native.four_devices",
        JAX_PLATFORMS="cpu",
        JAX_NUM_CPU_DEVICES="4",
    )
