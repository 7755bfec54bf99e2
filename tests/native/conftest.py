"""Without the compiled library there is nothing to test here."""

import os

import pytest

from cnnjax.native import library


@pytest.fixture(autouse=True)
def kernels():
    """Skips the test where the library is not in use, unless it has to be."""
    loaded, reason = library.status()
    if loaded is None and not os.environ.get("CNNJAX_REQUIRE_NATIVE"):
        pytest.skip(reason)
    assert loaded is not None, reason
