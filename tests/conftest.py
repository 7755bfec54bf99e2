"""What the tests of every folder may ask for."""

import jax
import pytest


@pytest.fixture
def x64():
    """Arrays of 64 bits, for this test alone."""
    with jax.enable_x64(True):
        yield
