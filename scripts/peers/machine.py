"""The machine that a benchmark ran on."""

import os
import platform
from pathlib import Path

# From the strongest down; the first that a CPU has names it.
INSTRUCTION_SETS = {
    "amx_tile": "AMX",
    "avx512_bf16": "AVX-512 with BF16",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
    "asimd": "NEON",
}


def describe_machine() -> dict:
    """The CPU, its cores that this process may use, its instruction set, the system."""
    fields = _cpu_fields()
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    known = [text for flag, text in INSTRUCTION_SETS.items() if flag in flags]
    return {
        "cpu": fields.get("model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "instructions": known[0] if known else "unknown",
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _cpu_fields() -> dict:
    """The first processor's lines of /proc/cpuinfo."""
    path = Path("/proc/cpuinfo")
    text = path.read_text().split("\n\n")[0] if path.exists() else ""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
