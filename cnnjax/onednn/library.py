"""Finds, loads and registers the compiled library, once, when it is first asked for.

The library is built where a C++ compiler is found (``CMakeLists.txt``), and needs
oneDNN's own library at run time, which the package ``onednn-cpu-gomp`` brings.
"""

import contextlib
import ctypes
import importlib.metadata
import importlib.resources
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

FILE = "libcnnjax_onednn.so"
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
    """The library, loaded by the first call, or why there is none."""
    with _lock:
        if not _status:
            _status.append(_load())
        return _status[0]


def describe() -> str:
    """One line for people: oneDNN's version, instructions and threads, or why not."""
    library, reason = status()
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


def _load() -> Status:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        system = f"{platform.system()} on {platform.machine()}"
        return Status(
            None, f"oneDNN's package is for Linux on x86_64, this is {system}"
        )
    path = importlib.resources.files("cnnjax.onednn") / FILE
    if not path.is_file():
        return Status(None, "cnnjax was installed without a C++ compiler (needs C++17)")
    try:
        # The compiled library finds oneDNN's by its name, for it is loaded already.
        with _short_waits():
            ctypes.CDLL(_find_onednn(), mode=ctypes.RTLD_GLOBAL)
        library = ctypes.CDLL(str(path))
        for target in TARGETS:
            jax.ffi.register_ffi_target(
                target, jax.ffi.pycapsule(library[target]), platform="cpu"
            )
    except Exception as error:  # whatever is wrong here, XLA can do the work
        return Status(None, f"{type(error).__name__}: {error}")
    return Status(library, "")


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
