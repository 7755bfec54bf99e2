"""What a run's numbers depend on: gradients, backend, precision, options of JAX."""

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from cnnjax.config import Config
from cnnjax.errors import ConfigError
from cnnjax.native import library
from cnnjax.ops.backend import backend, current_backend
from cnnjax.ops.gradient import gradients

CPUINFO = Path("/proc/cpuinfo")
PRODUCTS = {"avx512_bf16", "bf16"}  # as Linux names such instructions
TILES = {"amx_bf16"}
# Environment variables set these, by the same names in capitals.
OPTIONS = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_random_seed_offset",
)
IDLE_FLAGS = re.compile("--xla_(force_host_platform_device_count|dump_)")
GPU_FLAGS = re.compile("--xla_gpu_")  # idle on other platforms


@contextlib.contextmanager
def configured(config: Config) -> Iterator[None]:
    """Traces what is called within it with the config's gradients and backend."""
    with gradients(config.gradients), use_backend(config.backend):
        yield


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Chooses the backend ``name``; ``"auto"`` keeps the one already chosen.

    That choice is a context around, or the environment variable ``CNNJAX_BACKEND``.
    """
    with contextlib.nullcontext() if name == "auto" else backend(name):  # type: ignore[arg-type]
        yield


def check_backend(config: Config) -> None:
    """Checks that ``backend="native"`` would use the native kernels.

    Raises:
        ConfigError: it would not, with the reason.
    """
    if config.backend != "native":
        return
    platform, reason = jax.default_backend(), library.status().reason
    if config.gradients == "autodiff":
        reason = "gradients='autodiff' runs JAX's own operations"
    elif platform != "cpu":
        reason = f"it runs on CPUs only, and the devices here are {platform}"
    if reason:
        raise ConfigError(
            f"backend is 'native', which cannot be used: {reason}; try 'auto', which"
            " chooses what is available"
        )


def adapt_backend(config: Config, tell: Callable[[str], None]) -> Config:
    """The settings of a run, with ``backend="auto"`` if its backend is missing here.

    Args:
        config: of the run.
        tell: reports, in a sentence, that this machine lacks the run's backend.
    """
    try:
        check_backend(config)
    except ConfigError as error:
        tell(str(error))
        config = config.copy_and_resolve_references()
        config.backend = "auto"
    return config


def backend_name(config: Config) -> str:
    """The backend that the config chooses; with ``"auto"``, the current one."""
    return current_backend() if config.backend == "auto" else config.backend


def describe_backend(config: Config, platform: str) -> str:
    """The kernels that compute on devices of ``platform``.

    Runs with equal descriptions have equal numbers, bit for bit.
    """
    name = backend_name(config)
    is_stock = config.gradients == "autodiff" or name == "xla"
    if platform != "cpu" or is_stock or library.status().library is None:
        return "XLA's kernels"
    return f"{library.describe()}, backend {name}"


def describe_options() -> dict[str, Any]:
    """The options of JAX that numbers depend on, as values for JSON."""
    options = {name: getattr(jax.config, name) for name in OPTIONS}
    flags = os.environ.get("XLA_FLAGS", "").split()
    idle = [IDLE_FLAGS] if jax.default_backend() == "gpu" else [IDLE_FLAGS, GPU_FLAGS]
    options["XLA_FLAGS"] = " ".join(
        sorted(flag for flag in flags if not any(name.match(flag) for name in idle))
    )
    return options


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What has changed since a run was last trained, one sentence each.

    Args:
        before: the notes of a checkpoint.
        now: what numbers depend on in this process.
    """
    return [
        _tell_difference(name, before[name], ours)
        for name, ours in now.items()
        if name in before and _renamed(before[name]) != ours
    ]


def _renamed(noted: Any) -> Any:
    """What a checkpoint notes, with today's name of the backend."""
    is_text = isinstance(noted, str)
    return re.sub("backend onednn$", "backend native", noted) if is_text else noted


def _show(value: Any) -> str:
    return "(unset)" if value in (None, "") else str(value)


def _tell_difference(name: str, theirs: Any, ours: Any) -> str:
    if name in ("devices", "kernels"):
        return (
            f"the run used {theirs} and resumes on {ours}: its numbers will differ in"
            " the last digits"
        )
    return (
        f"the run was trained with {name.upper()}={_show(theirs)} and resumes with"
        f" {_show(ours)}: its numbers will differ"
    )


def why_slow(precision: str, platform: str) -> str:
    """Why ``precision`` is not faster on ``platform``; empty if it may be."""
    if precision == "float32" or platform != "cpu":
        return ""
    flags = _cpu_flags()
    if flags & TILES:
        return ""
    if flags & PRODUCTS:
        return (
            f"precision is {precision!r}, and this CPU has AVX512-BF16 or similar, but"
            " not AMX: it saves memory, but may be slower than 'float32'"
        )
    return (
        f"precision is {precision!r}, for which this CPU has no instructions"
        " (AVX512-BF16, AMX): it will be slower than 'float32'"
    )


def _cpu_flags() -> set[str]:
    """The CPU's features as Linux names them; empty on other systems."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    rows = (line.partition(":") for line in lines)
    return {
        word
        for name, _, words in rows
        if name.strip() in ("flags", "Features")
        for word in words.split()
    }
