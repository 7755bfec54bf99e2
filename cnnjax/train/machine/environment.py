"""What computes here: versions, the runtime and driver of the device, the processor."""

import platform
import re
from importlib.metadata import version
from pathlib import Path

import jax

from cnnjax import __version__

LIBRARIES = ("jax", "jaxlib", "flax", "optax", "numpy")
DRIVER = Path("/proc/driver/nvidia/version")
CPUINFO = Path("/proc/cpuinfo")


def describe_environment() -> dict[str, str]:
    """Versions by name, as text; what this machine does not tell is left out."""
    found = {
        "cnnjax": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
        "runtime": " ".join(jax.devices()[0].client.platform_version.split()),
        "driver": _search(r"Kernel Module\D*([\d.]+)", DRIVER),
        "processor": _search(r"model name\s*: (.*)", CPUINFO),
    }
    if jax.default_backend() != "gpu":
        del found["driver"]
    return {name: text for name, text in found.items() if text}


def _search(pattern: str, path: Path) -> str:
    """The first match in a file of the system; empty without file or match."""
    try:
        found = re.search(pattern, path.read_text())
    except OSError:
        return ""
    return found[1].strip() if found else ""
