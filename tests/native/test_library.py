"""Finding the library, and saying why it is not in use."""

import importlib.metadata
import os
import platform
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from cnnjax.errors import NoKernels
from cnnjax.native import conv, library
from cnnjax.report.information import describe_installation
from tests.support.native.programs import ROOT, run


def test_tells_version_instructions_and_threads():
    version, isa, threads = library.describe().split(", ")
    assert version == "oneDNN 3.2.0"
    assert isa.startswith(("AVX", "SSE"))
    assert int(threads.removesuffix(" threads")) >= 1


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("FILE", "libmissing.so", r"the checkout /.*, which has no compiled kernels"),
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


def test_says_that_an_installation_had_no_compiler(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "FILE", "libmissing.so")
    monkeypatch.setattr(library, "SOURCES", tmp_path)
    assert "installed without a C++ compiler" in library._load().reason


@pytest.fixture
def missing(monkeypatch):
    """A process that has no library."""
    monkeypatch.delenv(library.REQUIRED, raising=False)
    monkeypatch.setattr(library, "_status", [library.Status(None, "it is not here")])
    conv._ask.cache_clear()
    yield
    conv._ask.cache_clear()


def test_without_the_library_xla_does_the_work(missing, tmp_path):
    x, kernel = jnp.ones((1, 5, 4, 2)), jnp.ones((3, 3, 2, 3))
    expected = ops.conv(x, kernel, backend="xla")
    np.testing.assert_array_equal(ops.conv(x, kernel), expected)
    with pytest.raises(ValueError, match=r"cannot compute the forward.*it is not here"):
        ops.conv(x, kernel, backend="native")
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
        "from cnnjax.native import library; print(library.describe())",
        OMP_NUM_THREADS="1",
        ONEDNN_MAX_CPU_ISA="SSE41",
    )
    assert text.strip() == "oneDNN 3.2.0, SSE4.1, 1 threads"


def test_one_thread_or_more_load_it_once():
    run(
        "-c",
        """
from concurrent.futures import ThreadPoolExecutor
from cnnjax.native import library
with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(lambda _: library.status(), range(32)))
assert len(set(map(id, found))) == 1 and not found[0].reason, found
""",
    )


CHECKOUT = """
import os, sys
# As after an installation that is not editable: the current folder comes first.
sys.meta_path[:] = [f for f in sys.meta_path if "ScikitBuild" not in type(f).__name__]
sys.path.insert(0, os.environ["CHECKOUT"])
from cnnjax.native import library
assert library.__file__.startswith(os.environ["CHECKOUT"])
print(library.describe())
"""


@pytest.fixture
def copy(tmp_path):
    """A checkout at another place."""
    shutil.copytree(ROOT / "cnnjax/native", tmp_path / "cnnjax/native")
    (tmp_path / "cnnjax/__init__.py").touch()
    for name in ("errors.py", "typing.py"):
        shutil.copy(ROOT / "cnnjax" / name, tmp_path / "cnnjax")
    return tmp_path


@pytest.mark.slow
def test_a_checkout_finds_the_installed_kernels_of_the_same_sources(copy):
    assert run("-c", CHECKOUT, CHECKOUT=str(copy)).startswith("oneDNN 3.2.0")


def test_a_checkout_refuses_installed_kernels_of_other_sources(copy):
    with (copy / "cnnjax/native/src/common/library.cc").open("a") as file:
        file.write("// changed")
    text = run("-c", CHECKOUT, CHECKOUT=str(copy))
    assert f"cnnjax is imported from the checkout {copy}, and the installed" in text
    assert "were built from other sources" in text
    assert f"pip install {copy}, or start Python in another folder" in text


def test_where_kernels_are_required_none_of_them_is_an_error(missing, monkeypatch):
    monkeypatch.setenv(library.REQUIRED, "1")
    message = "REQUIRE_NATIVE is 1, but the kernels cannot be used: it is not here"
    with pytest.raises(NoKernels, match=message):
        ops.conv(jnp.ones((1, 5, 4, 2)), jnp.ones((3, 3, 2, 3)))
    assert "it is not here" in library.describe()
    monkeypatch.setenv(library.REQUIRED, "0")
    assert library.status().library is None
