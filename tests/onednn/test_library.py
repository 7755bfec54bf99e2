"""Finding the library, and saying why it is not in use."""

import importlib.metadata
import os
import platform

import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from cnnjax.onednn import conv, library
from cnnjax.report.information import describe_installation
from tests.onednn.programs import run


def test_tells_version_instructions_and_threads():
    version, isa, threads = library.describe().split(", ")
    assert version == "oneDNN 3.2.0"
    assert isa.startswith(("AVX", "SSE"))
    assert int(threads.removesuffix(" threads")) >= 1


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("FILE", "libmissing.so", "installed without a C\\+\\+ compiler"),
        ("LIBRARY", "libmissing.so", "onednn-cpu-gomp has no libmissing.so"),
        ("TARGETS", ("cnnjax_missing",), "undefined symbol: cnnjax_missing"),
    ],
)
def test_says_what_is_missing(name, value, reason, monkeypatch):
    monkeypatch.setattr(library, name, value)
    assert library._load().library is None
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(library._load().reason)


def test_says_that_a_package_or_a_machine_is_missing(monkeypatch):
    monkeypatch.setattr(library, "PACKAGE", "no-such-package")
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        library._find_onednn()
    assert "PackageNotFoundError" in library._load().reason
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert "for Linux on x86_64" in library._load().reason


@pytest.fixture
def missing(monkeypatch):
    """A process that has no library."""
    monkeypatch.setattr(library, "_status", [library.Status(None, "it is not here")])
    conv._ask.cache_clear()
    yield
    conv._ask.cache_clear()


def test_without_the_library_xla_does_the_work(missing, tmp_path):
    x, kernel = jnp.ones((1, 5, 4, 2)), jnp.ones((3, 3, 2, 3))
    expected = ops.conv(x, kernel, backend="xla")
    np.testing.assert_array_equal(ops.conv(x, kernel), expected)
    with pytest.raises(ValueError, match=r"cannot compute the forward.*it is not here"):
        ops.conv(x, kernel, backend="onednn")
    text = describe_installation(tmp_path)
    assert "XLA's; oneDNN is not in use: it is not here" in text


def test_loading_leaves_the_environment_as_it_was(monkeypatch):
    monkeypatch.delenv(library.SPIN_COUNT, raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    with library._short_waits():
        assert os.environ[library.SPIN_COUNT] == "1000"
    assert library.SPIN_COUNT not in os.environ
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    with library._short_waits():
        assert library.SPIN_COUNT not in os.environ


def test_threads_and_instructions_follow_the_environment():
    text = run(
        "-c",
        "from cnnjax.onednn import library; print(library.describe())",
        OMP_NUM_THREADS="1",
        ONEDNN_MAX_CPU_ISA="SSE41",
    )
    assert text.strip() == "oneDNN 3.2.0, SSE4.1, 1 threads"


def test_one_thread_or_more_load_it_once():
    run(
        "-c",
        """
from concurrent.futures import ThreadPoolExecutor
from cnnjax.onednn import library
with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(lambda _: library.status(), range(32)))
assert len(set(map(id, found))) == 1 and not found[0].reason, found
""",
    )
