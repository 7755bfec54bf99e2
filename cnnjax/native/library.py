"""Finds, loads and registers the compiled library, once, when it is first asked for.

The library is built where a C++ compiler is found (``CMakeLists.txt``), and needs
oneDNN's own library at run time, which the package ``onednn-cpu-gomp`` brings. Python
started in the folder of a checkout imports the package from there, without the library;
the one of the installed package is then used if it was built from the same sources.
With ``CNNJAX_REQUIRE_NATIVE=1`` an operation fails if the kernels cannot be used.
"""

import contextlib
import ctypes
import hashlib
import importlib.metadata
import importlib.resources
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from cnnjax.errors import NoKernels

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FILE = "libcnnjax_native.so"
SOURCES = HERE / "src"
KINDS = ("*.cc", "*.h")
REQUIRED = "CNNJAX_REQUIRE_NATIVE"
PACKAGE, LIBRARY = "onednn-cpu-gomp", "libdnnl.so.3"
SPIN_COUNT = "GOMP_SPINCOUNT"
TARGETS = (
    "cnnjax_conv_forward_v1",
    "cnnjax_conv_input_gradient_v1",
    "cnnjax_conv_kernel_gradient_v1",
    "cnnjax_batch_moments_v1",
    "cnnjax_batch_norm_v1",
    "cnnjax_batch_norm_sums_v1",
    "cnnjax_batch_norm_gradient_v1",
    "cnnjax_max_pool_v1",
    "cnnjax_max_pool_place_v1",
    "cnnjax_window_sum_v1",
    "cnnjax_window_spread_v1",
)


class Status(NamedTuple):
    """Whether the kernels can be used.

    Attributes:
        library: the compiled library, ``None`` where it cannot be used.
        reason: why not; empty where it can.
    """

    library: ctypes.CDLL | None
    reason: str


_lock = threading.Lock()
_status: list[Status] = []


def status() -> Status:
    """The library, loaded by the first call, or why there is none.

    Raises:
        NoKernels: there is none, and ``CNNJAX_REQUIRE_NATIVE`` is set.
    """
    found = _find()
    required = os.environ.get(REQUIRED, "")
    if found.library is None and required not in ("", "0"):
        raise NoKernels(
            f"{REQUIRED} is {required}, but the kernels cannot be used: {found.reason}"
        )
    return found


def describe() -> str:
    """One line for people: oneDNN's version, instructions and threads, or why not."""
    library, reason = _find()
    if library is None:
        return f"XLA's; oneDNN is not in use: {reason}"
    _, version = call(library.cnnjax_version)
    _, isa = call(library.cnnjax_isa)
    return f"oneDNN {version}, {isa}, {library.cnnjax_threads()} threads"


def call(function: Callable[..., Any], *args: Any) -> tuple[Any, str]:
    """Calls a C function; what it returns, and what it writes into its last buffer."""
    buffer = ctypes.create_string_buffer(256)
    result = function(*args, buffer, ctypes.c_size_t(len(buffer)))
    return result, buffer.value.decode()


def _find() -> Status:
    with _lock:
        if not _status:
            _status.append(_load())
        return _status[0]


def _load() -> Status:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        system = f"{platform.system()} on {platform.machine()}"
        return Status(
            None, f"oneDNN's package is for Linux on x86_64, but this is {system}"
        )
    beside = importlib.resources.files("cnnjax.native") / FILE
    path = beside if beside.is_file() else _installed()
    if path is None:
        return Status(None, _why_missing())
    try:
        # The compiled library finds oneDNN's by its name, for it is loaded already.
        with _short_waits():
            ctypes.CDLL(_find_onednn(), mode=ctypes.RTLD_GLOBAL)
        library = ctypes.CDLL(str(path))
        if path is not beside and not _is_built_from_here(library):
            return Status(None, _why_other(path))
        for target in TARGETS:
            jax.ffi.register_ffi_target(
                target, jax.ffi.pycapsule(library[target]), platform="cpu"
            )
    except Exception as error:  # whatever is wrong here, XLA can do the work
        return Status(None, f"{type(error).__name__}: {error}")
    return Status(library, "")


def _installed() -> Path | None:
    """The library of the installed package, wherever this module comes from."""
    try:
        files = importlib.metadata.files("cnnjax") or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    paths = (Path(str(file.locate())) for file in files if file.name == FILE)
    return next((path for path in paths if path.is_file()), None)


def _is_built_from_here(library: ctypes.CDLL) -> bool:
    """Whether the library was built from the C++ files beside this one."""
    if not hasattr(library, "cnnjax_sources"):
        return False
    files = [path for kind in KINDS for path in SOURCES.rglob(kind)]
    names = sorted(path.relative_to(SOURCES).as_posix() for path in files)
    digests = "".join(
        f"{hashlib.sha256((SOURCES / name).read_bytes()).hexdigest()} {name}\n"
        for name in names
    )
    _, built_from = call(library.cnnjax_sources)
    return built_from == hashlib.sha256(digests.encode()).hexdigest()


def _why_missing() -> str:
    if not (SOURCES / "common" / "library.cc").is_file():
        return "cnnjax was installed without a C++ compiler (needs C++17)"
    return (
        f"cnnjax is imported from the checkout {ROOT}, which has no compiled kernels,"
        f" and no installed cnnjax has them; install it with pip install {ROOT} and a"
        " C++ compiler (needs C++17)"
    )


def _why_other(path: Any) -> str:
    return (
        f"cnnjax is imported from the checkout {ROOT}, and the installed kernels"
        f" {path} were built from other sources; install it again with pip install"
        f" {ROOT}, or start Python in another folder"
    )


def _find_onednn() -> str:
    for file in importlib.metadata.files(PACKAGE) or ():
        if file.name == LIBRARY:
            return str(file.locate())
    raise FileNotFoundError(f"the package {PACKAGE} has no {LIBRARY}")


@contextlib.contextmanager
def _short_waits() -> Iterator[None]:
    """Lets OpenMP's threads sleep soon after their work, unless the user chose.

    By default they wait busily for milliseconds, on the cores that XLA's next operation
    needs. OpenMP reads this from the environment when it is loaded.
    """
    chosen = "OMP_WAIT_POLICY" in os.environ or SPIN_COUNT in os.environ
    if not chosen:
        os.environ[SPIN_COUNT] = "1000"
    try:
        yield
    finally:
        if not chosen:
            del os.environ[SPIN_COUNT]
