"""What the tests of every folder may ask for."""

import gc

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

gc.set_threshold(100_000, 50, 1000)  # JAX keeps much, and looking through it takes long


def pytest_addoption(parser):
    parser.addoption(
        "--first-cases",
        action="store_true",
        help="run only the first selected case of each parametrized test",
    )


@pytest.hookimpl(trylast=True)  # after -m and -k
def pytest_collection_modifyitems(config, items):
    if not config.getoption("--first-cases"):
        return
    first = {}
    for item in items:
        first.setdefault(item.nodeid.partition("[")[0], item)
    kept = set(first.values())
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = first.values()


@pytest.fixture
def x64():
    """Arrays of 64 bits, for this test alone."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module", autouse=True)
def programs_on_disk_are_for_this_module():
    """A run keeps its programs on disk; the rest of the tests compile theirs once."""
    yield
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.reset_cache()
