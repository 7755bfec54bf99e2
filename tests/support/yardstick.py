"""How long a process takes, in units of one that imports what every run imports.

A slow machine, or a slow moment of one, makes both longer.
"""

import subprocess
import sys
import time
from collections.abc import Callable

IMPORTS = "import jax, flax.linen, optax, orbax.checkpoint"


def imports_only() -> None:
    """The yardstick."""
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)


def ratio(run: Callable[[], object]) -> float:
    """The time of ``run`` over the mean of the yardstick's before and after it."""
    before, seconds, after = map(_seconds, (imports_only, run, imports_only))
    return seconds / ((before + after) / 2)


def _seconds(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin
