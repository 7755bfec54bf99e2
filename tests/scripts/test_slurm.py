"""The scripts for sbatch, with other programs in the place of srun and scontrol."""

import os
import re
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
SCRIPT, ARRAY = SCRIPTS / "slurm.sbatch", SCRIPTS / "sweep_array.sbatch"
TASK = {"SLURM_JOB_ID": "4713", "SLURM_ARRAY_JOB_ID": "4711"}
TASK |= {"SLURM_ARRAY_TASK_ID": "2"}


@pytest.fixture
def run(tmp_path):
    """Runs the batch script where ``srun`` ends with a status; what was called."""
    calls = tmp_path / "calls"

    def put(name, status):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {calls}\nexit {status}\n')
        program.chmod(0o755)

    def begin(status, *words, script=SCRIPT, variables=(("SLURM_JOB_ID", "4711"),)):
        put("srun", status)
        put("scontrol", 0)
        path = f"{tmp_path}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", script, *words],
            env=os.environ | {"PATH": path, **dict(variables)},
            capture_output=True,
            text=True,
        )
        assert (done.stdout, done.stderr) == ("", "")
        return done.returncode, calls.read_text().splitlines()

    return begin


@pytest.mark.parametrize("script", [SCRIPT, ARRAY], ids=["run", "array"])
def test_its_options_ask_for_a_signal_and_a_second_start(script):
    text = script.read_text()
    options = re.findall(r"^#SBATCH (\S+)$", text, re.M)
    assert {"--requeue", "--signal=USR1@120", "--open-mode=append"} <= set(options)
    # Slurm reads options up to the first command only.
    assert text.rindex("\n#SBATCH") < text.index("\nset -")
    subprocess.run(["bash", "-n", script], check=True)


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


def test_a_task_of_an_array_trains_its_run_of_the_sweep(run):
    words = ["--config=a b.py", "--set", "seed=0:4"]
    status, [call] = run(0, *words, script=ARRAY, variables=TASK)
    assert status == 0
    assert call == "srun cnnjax sweep --config=a b.py --set seed=0:4 --only=2"
    status, [*_, requeue] = run(138, script=ARRAY, variables=TASK)
    assert (status, requeue) == (138, "scontrol requeue 4711_2")


def test_the_array_is_not_forgotten():
    done = subprocess.run(["bash", ARRAY], capture_output=True, text=True)
    assert done.returncode == 2
    assert "give sbatch --array=0-N" in done.stderr
