"""What the tests of every folder may ask for."""

import gc

import jax
import pytest

gc.set_threshold(100_000, 50, 1000)  # JAX keeps much, and looking through it takes long


@pytest.fixture
def x64():
    """Arrays of 64 bits, for this test alone."""
    with jax.enable_x64(True):
        yield
