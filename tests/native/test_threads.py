"""OpenMP may give fewer threads than were asked for; nothing waits for the others."""

import pytest

from tests.support.native.programs import run

PROGRAM = """
import jax, jax.numpy as jnp, numpy as np
from cnnjax import ops
from cnnjax.native import library

rng = np.random.default_rng(0)
x = jnp.asarray(rng.normal(size=(16, 32, 32, 24)), jnp.float32)
kernels = [
    jnp.asarray(rng.normal(size=shape) * 0.1, jnp.float32)
    for shape in [(3, 3, 24, 36), (1, 1, 36, 40), (3, 3, 1, 40), (4, 4, 40, 128),
                  (3, 3, 128, 128)]
]

@jax.jit
def gradient(kernels, x):
    def loss(kernels, x):
        y = ops.conv(x, kernels[0], jnp.ones(36), relu=True)
        y = ops.conv(y, kernels[1], strides=2)
        y, *_ = ops.batch_norm(y, jnp.ones(40), jnp.zeros(40))
        y = ops.conv(y, kernels[2], groups=40)
        y = ops.max_pool(y, 2)
        y = ops.conv(y, kernels[3], strides=2)
        return jnp.sum(ops.conv(y, kernels[4]) ** 2)
    return jax.grad(loss, (0, 1))(kernels, x)

assert library.status().library, library.status().reason
for leaf in jax.tree.leaves(gradient(kernels, x)):
    print(float(jnp.abs(leaf).sum()))
"""


@pytest.fixture(scope="module")
def expected():
    return run("-c", PROGRAM, OMP_NUM_THREADS="2")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OMP_THREAD_LIMIT", "1"),
        ("OMP_MAX_ACTIVE_LEVELS", "0"),
        ("OMP_DYNAMIC", "true"),
        ("OMP_NUM_THREADS", "5"),
    ],
)
def test_a_gradient_ends_whatever_openmp_gives(name, value, expected):
    more = {"OMP_NUM_THREADS": "4"} if name != "OMP_NUM_THREADS" else {}
    text = run("-c", PROGRAM, timeout=120, **{name: value, **more})
    for actual, number in zip(text.split(), expected.split(), strict=True):
        assert float(actual) == pytest.approx(float(number), rel=1e-3)
