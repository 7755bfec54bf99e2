"""Runs a program of its own, for what a process learns only when it starts."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
REQUIRED = {"CNNJAX_REQUIRE_NATIVE": "1"}  # a program without kernels would test XLA


def run(*words: str, timeout: float = 600, **environment: str) -> str:
    """The output of ``python words``; what went wrong fails the test."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *words],
        cwd=ROOT,
        env={**os.environ, **REQUIRED, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout
