"""Convolutions that XLA's own cannot compute are right, and no other is changed."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from cnnjax import ops

ROOT = str(Path(__file__).parents[3])

pytestmark = pytest.mark.slow


def run(program, *args):
    """Runs it in its own process, which finds the tests after the installed package."""
    start = f"import sys; sys.path.append({ROOT!r}); {program}"
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", start, *args],
        env={**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_crops_and_exchanges_of_xla_are_right_by_every_backend():
    run("from tests.support.ops.conv import fault_cases; fault_cases.main()")


@pytest.mark.slow
def test_random_convolutions_equal_numpy_by_every_backend():
    output = run("from tests.support.ops.conv import fuzz; fuzz.main(0, 15)")
    assert "14 autodiff" in output
    assert "wrong" not in output, output


@pytest.mark.parametrize(
    ("taps", "strides", "padding"),
    [(3, 1, 1), (3, 2, 1), (2, 2, 0), (7, 2, 3), (3, 1, 0)],
)
def test_ordinary_convolutions_are_given_to_xla_as_they_are(taps, strides, padding):
    options = {"strides": strides, "padding": padding, "backend": "xla"}

    def run(x, kernel):
        y, vjp = jax.vjp(
            lambda *args: ops.conv(*args, **options),
            *(x, kernel),
        )
        return y, *vjp(y)

    x, kernel = jnp.zeros((2, 16, 16, 8)), jnp.zeros((taps, taps, 8, 8))
    for mode in ("custom", "autodiff"):
        with ops.gradients(mode):
            text = jax.jit(run).lower(x, kernel).as_text()
        assert text.count("stablehlo.convolution") == 3
        assert "stablehlo.pad" not in text
        assert "stablehlo.slice" not in text
