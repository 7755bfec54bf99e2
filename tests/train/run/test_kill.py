"""Runs that are killed with SIGKILL end as one that never was."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "kill_and_resume.py"


@pytest.mark.parametrize(
    ("kills", "words"),
    [
        (2, []),
        pytest.param(7, [], marks=pytest.mark.slow),
        pytest.param(7, ["--streamed"], marks=pytest.mark.slow),
    ],
    ids=["twice", "in memory", "streamed"],
)
def test_killed_at_random_moments_it_ends_with_the_same_state(tmp_path, kills, words):
    command = [sys.executable, SCRIPT, f"--kills={kills}"]
    command += [f"--workdir={tmp_path / 'runs'}", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    killed, saves = re.findall(r"\d+", done.stdout.splitlines()[-1])
    assert int(killed) == kills
    if kills > 2:
        assert int(saves) >= 2, "too few kills hit a save"
