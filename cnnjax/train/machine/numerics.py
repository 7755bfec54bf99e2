"""How a run computes: with whose gradients, on which kernels, in which precision."""

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax

from cnnjax.config import Config
from cnnjax.errors import ConfigError
from cnnjax.native import library
from cnnjax.ops.backend import backend, current_backend
from cnnjax.ops.gradient import gradients

Result = TypeVar("Result")

CPUINFO = Path("/proc/cpuinfo")
PRODUCTS = {"avx512_bf16", "bf16"}  # what the kernel calls such instructions
TILES = {"amx_bf16"}
# Environment variables of the same names set these, in capitals.
OPTIONS = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_random_seed_offset",
)
IDLE_FLAGS = re.compile("--xla_(force_host_platform_device_count|dump_)")


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Chooses the backend ``name``; ``"auto"`` leaves it to whoever chose before.

    That is a context around, or the environment variable ``CNNJAX_BACKEND``.
    """
    with contextlib.nullcontext() if name == "auto" else backend(name):  # type: ignore[arg-type]
        yield


def as_configured(
    config: Config, function: Callable[..., Result]
) -> Callable[..., Result]:
    """The function, traced with the gradients and the kernels that ``config`` names."""

    @functools.wraps(function)
    def configured(*args: Any, **kwargs: Any) -> Result:
        with gradients(config.gradients), use_backend(config.backend):
            return function(*args, **kwargs)

    return configured


def check_backend(config: Config) -> None:
    """Refuses ``backend="native"`` where oneDNN would not be what computes.

    Raises:
        ConfigError: with the reason.
    """
    if config.backend != "native":
        return
    platform, reason = jax.default_backend(), library.status().reason
    if config.gradients == "autodiff":
        reason = "gradients='autodiff' runs the stock operations of JAX"
    elif platform != "cpu":
        reason = f"it is for CPUs, and the devices here are {platform}"
    if reason:
        raise ConfigError(
            f"backend is 'native', which is not in use: {reason}; 'auto' takes what"
            " there is"
        )


def adapt_backend(config: Config, tell: Callable[[str], None]) -> Config:
    """The settings of a run that was trained elsewhere, for the kernels of this place.

    Args:
        config: of the run.
        tell: takes a sentence for people, where they are not what the run had.
    """
    try:
        check_backend(config)
    except ConfigError as error:
        tell(str(error))
        config = config.copy_and_resolve_references()
        config.backend = "auto"
    return config


def describe_backend(config: Config, platform: str) -> str:
    """Whose kernels compute on devices of ``platform``, as far as numbers go.

    Runs of which this says the same have the same numbers to the last digit.
    """
    name = current_backend() if config.backend == "auto" else config.backend
    is_stock = config.gradients == "autodiff" or name == "xla"
    if platform != "cpu" or is_stock or library.status().library is None:
        return "XLA's kernels"
    return f"{library.describe()}, backend {name}"


def describe_options() -> dict[str, Any]:
    """JAX's own options on which numbers depend, as values for JSON."""
    options = {name: getattr(jax.config, name) for name in OPTIONS}
    flags = os.environ.get("XLA_FLAGS", "").split()
    options["XLA_FLAGS"] = " ".join(
        sorted(flag for flag in flags if not IDLE_FLAGS.match(flag))
    )
    return options


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs from where a run was trained before, a sentence each.

    Args:
        before: what a checkpoint notes.
        now: of that, what the run's numbers depend on.
    """
    return [
        _tell_difference(name, before[name], ours)
        for name, ours in now.items()
        if name in before and before[name] != ours
    ]


def _show(value: Any) -> str:
    return "(unset)" if value in (None, "") else str(value)


def _tell_difference(name: str, theirs: Any, ours: Any) -> str:
    if name in ("devices", "kernels"):
        return (
            f"the run was on {theirs} and is resumed on {ours}: its numbers will differ"
            " in the last digits"
        )
    return (
        f"the run was trained with {name.upper()}={_show(theirs)} and is resumed with"
        f" {_show(ours)}: its numbers will differ"
    )


def why_slow(precision: str, platform: str) -> str:
    """Why ``precision`` is no gain on devices of ``platform``; empty if it may be."""
    if precision == "float32" or platform != "cpu":
        return ""
    flags = _cpu_flags()
    if flags & TILES:
        return ""
    if flags & PRODUCTS:
        return (
            f"precision is {precision!r}, and this CPU has AVX512-BF16 or the like, but"
            " not AMX: it saves memory, but may be slower than 'float32'"
        )
    return (
        f"precision is {precision!r}, for which this CPU has no instructions"
        " (AVX512-BF16, AMX): it will be slower than 'float32'"
    )


def _cpu_flags() -> set[str]:
    """The CPU's abilities by the names that Linux gives them; elsewhere none."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    rows = (line.partition(":") for line in lines)
    return {
        word
        for name, _, words in rows
        if name.strip() in ("flags", "Features")
        for word in words.split()
    }
