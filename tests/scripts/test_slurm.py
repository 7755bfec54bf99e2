"""scripts/slurm.sbatch, with other programs in the place of srun and scontrol."""

import os
import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "slurm.sbatch"


@pytest.fixture
def run(tmp_path):
    """Runs the batch script where ``srun`` ends with a status; what was called."""
    calls = tmp_path / "calls"

    def put(name, status):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {calls}\nexit {status}\n')
        program.chmod(0o755)

    def begin(status, *words):
        put("srun", status)
        put("scontrol", 0)
        path = f"{tmp_path}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", SCRIPT, *words],
            env=os.environ | {"PATH": path, "SLURM_JOB_ID": "4711"},
            capture_output=True,
            text=True,
        )
        assert (done.stdout, done.stderr) == ("", "")
        return done.returncode, calls.read_text().splitlines()

    return begin


def test_its_options_ask_for_a_signal_and_a_second_start():
    text = SCRIPT.read_text()
    options = re.findall(r"^#SBATCH (\S+)$", text, re.M)
    assert {"--requeue", "--signal=USR1@120", "--open-mode=append"} <= set(options)
    # Slurm reads options up to the first command only.
    assert text.rindex("\n#SBATCH") < text.index("\nset -")
    subprocess.run(["bash", "-n", SCRIPT], check=True)


def test_words_are_those_of_the_run(run):
    status, calls = run(0, "--config=a b.py", "--workdir=runs/a")
    assert status == 0
    [call] = calls
    assert call.startswith("srun ")
    assert call.endswith("cnnjax train --config=a b.py --workdir=runs/a")


@pytest.mark.parametrize("status", [1, 2, 134])
def test_a_run_that_failed_is_not_started_again(run, status):
    ended, calls = run(status)
    assert ended == status
    assert len(calls) == 1


@pytest.mark.parametrize("status", [138, 143])
def test_a_run_whose_time_is_up_is_started_again(run, status):
    ended, [_, requeue] = run(status)
    assert ended == status
    assert requeue == "scontrol requeue 4711"
