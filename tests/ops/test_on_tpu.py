"""What the compiler of TPUs makes of gradients; it needs libtpu, but no TPU."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from cnnjax.plan import targets

PROGRAM = """
import json
import jax
import jax.numpy as jnp
from cnnjax import ops
from cnnjax.plan import targets

x = jax.ShapeDtypeStruct((8, 32, 32, 64), jnp.bfloat16)
dy = jax.ShapeDtypeStruct((8, 16, 16, 64), jnp.bfloat16)
target, found = targets.parse_target("v5e:1x1"), {}
for name in ("max_pool", "avg_pool"):
    pool = getattr(ops, name)
    for mode in ("custom", "autodiff"):
        def gradient(x, dy, pool=pool):
            return jax.vjp(lambda x: pool(x, 3, strides=2, padding="SAME"), x)[1](dy)
        with ops.gradients(mode):
            compiled = targets.compile_for(target, gradient, x, dy)
        moved = compiled.cost_analysis()["bytes accessed"]
        found[f"{name} {mode}"] = moved
print(json.dumps(found))
"""


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="needs the package libtpu"
)
def test_pooling_moves_no_more_memory_than_autodiff():
    """A process of its own: the compiler is prepared before JAX starts."""
    environment = dict(os.environ)
    targets.prepare(targets.parse_target("v5e:1x1"), environment)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    for name in ("max_pool", "avg_pool"):
        ours, stock = (found[f"{name} {mode}"] for mode in ("custom", "autodiff"))
        assert 0 < ours <= 1.02 * stock
