"""The page on a user's own code: its examples work in every command."""

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from cnnjax.train.run.trained import read_trained
from cnnjax.train.run.workdir import Origin
from tests.support.own_code import BLOCK, PAGE, write_project
from tests.support.train.faults import wait_for_step

SHORT = [
    "--config.duration=8 steps",
    "--config.batch_size=16",
    "--config.eval_every=4 steps",
    "--config.checkpoint.every=4 steps",
]


def command(folder, *words):
    """The console command, run from ``folder``; what it prints."""
    program = Path(sys.executable).with_name("cnnjax")
    result = subprocess.run(
        [program, *words], cwd=folder, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout, result.stderr


def test_each_example_is_short():
    for _, text in BLOCK.findall(PAGE.read_text()):
        for part in re.split(r"\n(?=def |class )", text)[1:]:
            assert len(part.strip().splitlines()) <= 10


@pytest.mark.slow
def test_the_examples_work_in_every_command_from_another_folder(tmp_path):
    config = f"--config={write_project(tmp_path / 'project')}"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    train = ["train", config, "--workdir=run", *SHORT]
    out, err = command(elsewhere, *train)
    assert err == ""
    assert re.search(r"^validation .* top2 +\d\.\d{4}", out, re.MULTILINE)
    records = (elsewhere / "run" / "metrics.jsonl").read_text().splitlines()
    values = [record for record in map(json.loads, records) if "top2" in record]
    assert [value["kind"] for value in values] == ["validation", "validation", "test"]
    imports = json.loads((elsewhere / "run" / "imports.json").read_text())
    assert {path.partition(":")[0] for path in imports} == {"my_parts"}
    assert len(imports) == 8
    scores = (elsewhere / "scores.txt").read_text().split("\n")
    assert [line.rpartition(" ")[0] for line in scores[:-1]] == [
        "validation 4",
        "validation 8",
        "test 8",
    ]

    with (tmp_path / "project" / "my_parts.py").open("a") as file:
        file.write("# a change\n")
    out, err = command(elsewhere, *train, "--config.duration=12 steps")
    assert "resuming after step 8" in out
    assert "my_parts.py has changed since" in err
    out, err = command(elsewhere, "evaluate", "--workdir=run")
    score = json.loads(out)
    assert err == ""
    last = json.loads(
        (elsewhere / "run" / "metrics.jsonl").read_text().splitlines()[-1]
    )
    assert score["top2"] == last["top2"]


@pytest.mark.slow
def test_runs_of_the_examples_resume_bit_for_bit(tmp_path):
    config = write_project(tmp_path / "project")
    short = [f"--config={config}", "--config.batch_size=16"]
    out, _ = command(tmp_path, "verify-resume", *short, "--steps=4", "--pieces=2")
    assert "bit for bit" in out


def trained_arrays(run):
    return jax.tree.leaves(read_trained(Origin(run))[0])


@pytest.mark.slow
def test_a_killed_run_of_the_examples_ends_with_the_same_parameters(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    config = f"--config={write_project(tmp_path / 'project')}"
    words = ["train", config, *SHORT, "--config.duration=60 steps"]
    command(elsewhere, *words, "--workdir=whole")
    program = Path(sys.executable).with_name("cnnjax")
    killed = [program, *words, "--workdir=killed"]
    for step in (4, 24):
        process = subprocess.Popen(killed, cwd=elsewhere, stdout=subprocess.DEVNULL)
        wait_for_step(elsewhere / "killed", step)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    out, _ = command(elsewhere, *words, "--workdir=killed")
    assert "resuming after step" in out
    whole, resumed = (trained_arrays(elsewhere / run) for run in ("whole", "killed"))
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one, other)

    shutil.move(elsewhere / "killed", tmp_path / "moved")
    images = np.zeros((3, 16, 16, 1), np.float32)
    np.savez(tmp_path / "new.npz", images=images, labels=[0, 1, 2])
    run = f"--workdir={tmp_path / 'moved'}"
    out, _ = command(elsewhere, "predict", run, "--format=csv", tmp_path / "new.npz")
    assert len(out.splitlines()) == 4
    small = "--config.batch_size=16"
    from_run = f"--checkpoint={tmp_path / 'moved'}"
    out, _ = command(elsewhere, "compare", config, small, from_run)
    assert "my_parts:Net" in out
    assert "gradients are right" in out


@pytest.mark.slow
def test_the_examples_work_from_python(tmp_path):
    """In a process of its own, as imports last for the life of a process."""
    config = write_project(tmp_path / "project")
    code = f"""
import cnnjax
run = cnnjax.train({str(config)!r}, workdir="run", progress="none")
assert run.history["test"]["top2"].shape == (1,)
images, labels = __import__("my_parts").load("16")
assert set(run.evaluate((images, labels)).metrics) == {{"top2"}}
trained = cnnjax.load("run")
assert [p.label for p in trained.predict(images[:3])] == [
    p.label for p in run.predict(images[:3])
]
assert cnnjax.evaluate("run") == run.test
print(open("scores.txt").read())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("validation ")
