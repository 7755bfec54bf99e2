"""Runs that are killed with SIGKILL end as one that never was."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "kill_and_resume.py"


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["--streamed"]], ids=["in memory", "streamed"])
def test_killed_at_random_moments_it_ends_with_the_same_state(tmp_path, words):
    command = [sys.executable, SCRIPT, "--kills=7", f"--workdir={tmp_path / 'runs'}"]
    done = subprocess.run([*command, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    kills, saves = re.findall(r"\d+", done.stdout.splitlines()[-1])
    assert int(kills) == 7
    assert int(saves) >= 2, "too few kills hit a save"
