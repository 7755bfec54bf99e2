"""What JAX is asked for by the environment, and cannot do."""

import os
import subprocess
import sys

import pytest

from tests.support.train.faults import DIGITS, ROOT


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("JAX_PLATFORMS", "nonsense", "unset it to use what is available: "),
        ("JAX_PLATFORM_NAME", "nonsense", "unset it to use what is available: "),
        ("JAX_DISABLE_JIT", "1", "JAX_DISABLE_JIT is set, but every command compiles"),
        ("JAX_ENABLE_X64", "maybe", "invalid truth value 'maybe' for environment"),
    ],
)
def test_an_environment_in_which_jax_cannot_start_is_told_in_a_line(
    tmp_path, name, value, told
):
    workdir = tmp_path / "run"
    command = ["-m", "cnnjax", "train", DIGITS, f"--workdir={workdir}"]
    result = subprocess.run(
        [sys.executable, *command],
        env=os.environ | {name: value},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("cnnjax: error: ")
    assert result.stderr.count("\n") == 1
    assert name in result.stderr
    assert told in result.stderr
    assert not workdir.exists()
