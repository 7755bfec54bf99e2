"""Versions, devices and caches as text, for people and for bug reports."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import jax

from cnnjax import __version__
from cnnjax.native import library
from cnnjax.ops.backend import current_backend
from cnnjax.streams import printable
from cnnjax.train.machine.determinism import describe_determinism

LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "pillow")


def describe_installation(compilation_cache: Path) -> str:
    """Versions, devices, the backend and the caches, one per line.

    Args:
        compilation_cache: the folder of compiled programs.
    """
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    rows = {
        "cnnjax": __version__,
        "python": f"{sys.version.split()[0]} on {platform.platform()}",
        "libraries": versions,
        "devices": ", ".join(_device(device) for device in jax.devices()),
        "processes": f"{jax.process_count()} (this is {jax.process_index()})",
        "cpu cores": str(os.cpu_count()),
        "backend": f"{current_backend()} on {jax.default_backend()}",
        "cpu kernels": library.describe(),
        "deterministic": describe_determinism(),
        "compiled programs": _folder(compilation_cache),
        "tfds data": _folder(_tfds_folder()),
    }
    width = max(map(len, rows))
    return "\n".join(
        f"{name:<{width}}  {printable(value)}" for name, value in rows.items()
    )


def _device(device) -> str:
    return f"{device.id}: {device.device_kind} ({device.platform})"


def _tfds_folder() -> Path:
    """The folder where TensorFlow Datasets stores prepared data, by its own rule."""
    chosen = os.environ.get("TFDS_DATA_DIR")
    return Path(chosen) if chosen else Path(os.path.expanduser("~/tensorflow_datasets"))


def _folder(path: Path) -> str:
    if not path.is_dir():
        return f"{path} (not there yet)"
    sizes = [entry.stat().st_size for entry in path.rglob("*") if entry.is_file()]
    return f"{path} ({len(sizes)} files, {sum(sizes) / 1e6:.1f} MB)"
