"""Normalization over several devices, in a process that has four of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_four_devices_share_one_large_batch():
    root = Path(__file__).parents[3]
    environment = {
        **os.environ,
        "JAX_ENABLE_X64": "1",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(root),
        "JAX_NUM_CPU_DEVICES": "4",
    }
    command = [sys.executable, "-W", "error", "-m", "tests.support.ops.norm.on_devices"]
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
