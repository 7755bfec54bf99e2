"""Real runs of many processes: stopped, killed, refused, and resumed elsewhere."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import pytest

from cnnjax.report import read_metrics
from cnnjax.train.run.experiment import make_experiment
from cnnjax.train.run.trained import make_run_state
from cnnjax.train.run.workdir import read_config
from tests.support.train.faults import DIGITS, ROOT, TINY, train, wait_for_step

LAUNCH = ROOT / "scripts" / "launch_local"
SETTINGS = [
    *TINY,
    "--config.batch_size=60",
    "--config.data.crop_padding=1",
    "--config.model.batch_norm=true",
    "--config.sync_batch_norm=true",
    "--config.optimizer.learning_rate=1e-3",
    "--config.duration=120 steps",
    "--config.eval_every=60 steps",
    "--config.checkpoint.every=10 steps",
]
GOES_ON = "resume from the last checkpoint"


@pytest.fixture
def launch():
    """Starts runs of many processes, with two devices each; none outlives its test."""
    started = []

    def begin(count, workdir, *words, devices=2, by=(LAUNCH,)):
        here = {"JAX_NUM_CPU_DEVICES": str(devices), "JAX_PLATFORMS": "cpu"}
        command = [sys.executable, "-m", "cnnjax", "train", DIGITS]
        process = subprocess.Popen(
            [*by, str(count), *command, f"--workdir={workdir}", *SETTINGS, *words],
            env=os.environ | here,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            for child in children(process):
                os.kill(child, signal.SIGKILL)
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def children(process):
    """Process ids of what the launcher started, number 0 first."""
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in text.split()]


def finish(process, seconds=120):
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def leaves(workdir):
    """The arrays of the state that a run has saved last."""
    config = read_config(workdir)
    state = make_run_state(make_experiment(config), config, workdir)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def assert_close(one, other):
    """Equal but for the order of sums in float32, over 120 steps of training.

    Adam divides by the root of the gradient's square, so that where a gradient is about
    0 another last digit can turn a step of the full learning rate around.
    """
    for a, b in zip(leaves(one), leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=0.01, atol=0.01)


def assert_same(one, other):
    for a, b in zip(leaves(one), leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def count_records(workdir):
    """How often each kind of record stands there for each step."""
    records = read_metrics(workdir / "metrics.jsonl")
    return Counter((record["kind"], record["step"]) for record in records)


ONCE = Counter(
    [("train", step) for step in range(50, 101, 50)]
    + [("train", 120), ("validation", 60), ("validation", 120), ("test", 120)]
)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run in one process on one device."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    assert train(folder, *SETTINGS) == 0
    return folder


@pytest.mark.slow
def test_a_signal_to_one_stops_all_and_any_number_goes_on(
    tmp_path, launch, alone, capfd
):
    run = tmp_path / "run"
    process = launch(2, run)
    wait_for_step(run, 20)
    os.kill(children(process)[1], signal.SIGTERM)
    status, out, err = finish(process)
    assert status == 143, err
    assert "Traceback" not in err
    assert re.search(r"launch_local: process \d ended with status 143", err)
    [step] = re.findall(
        r"Stopped by SIGTERM after step (\d+) \(checkpoint saved\);", out
    )
    assert (run / "checkpoints" / step).is_dir()

    other = shutil.copytree(run, tmp_path / "other")
    before = "the run used 4 x cpu (cpu), 2 processes and resumes on"
    after = "its numbers will differ in the last digits"
    assert train(run, *SETTINGS) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert f"{before} cpu (cpu): {after}" in said
    assert f"resuming after step {step} " in said

    status, out, err = finish(launch(1, other, devices=4))
    assert (status, err) == (0, "")
    assert f"{before} 4 x cpu (cpu): {after}" in " ".join(out.split())
    for folder in (run, other):
        assert_close(folder, alone)
        assert count_records(folder) == ONCE


@pytest.mark.slow
def test_killed_processes_are_missed_and_the_run_ends_the_same(tmp_path, launch):
    whole, run = tmp_path / "whole", tmp_path / "run"
    status, out, err = finish(launch(3, whole))
    assert status == 0, err
    assert "launch_local" not in err
    assert out.count("step compiled in") == out.count("test accuracy") == 1
    assert count_records(whole) == ONCE

    draw, last = np.random.default_rng(), 0
    for victim in (draw.integers(1, 3), 0):
        process = launch(3, run)
        wait_for_step(run, last + 10)
        time.sleep(draw.uniform(0, 0.5))
        os.kill(children(process)[victim], signal.SIGKILL)
        begin = time.monotonic()
        status, _, err = finish(process)
        assert time.monotonic() - begin < 60
        assert status == 137
        assert f"launch_local: process {victim} was killed by SIGKILL" in err
        assert "rerun the same command to resume from the last checkpoint" in err
        assert "killing what has not ended" not in err
        if victim:  # without process 0, through which all talk, JAX aborts the others
            assert re.search(rf"cnnjax: process 0: error: .*{GOES_ON}", err)
            assert "stack trace" not in err
        steps = [path.name for path in (run / "checkpoints").iterdir()]
        last = max(int(step) for step in steps if step.isdigit())
    status, out, err = finish(launch(3, run))
    assert status == 0, err
    assert f"resuming after step {last}\n" in out
    assert_same(run, whole)
    assert count_records(run) == ONCE


@pytest.mark.slow
def test_what_is_refused_by_all_ends_all(tmp_path, launch):
    begin = time.monotonic()
    process = launch(2, tmp_path / "run", "--config.batch_size=63")
    status, _, err = finish(process, 60)
    assert time.monotonic() - begin < 30
    assert status == 2, err
    assert "batch_size is 63, expected a multiple of 4 (the number of devices)" in err
    assert "stack trace" not in err
    assert GOES_ON not in err
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not shutil.which("mpirun"), reason="needs openmpi-bin")
def test_mpirun_says_it_itself(tmp_path, launch, alone):
    mpirun = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n"]
    status, out, err = finish(launch(2, tmp_path / "run", by=mpirun))
    assert status == 0, err
    assert "on 4 x cpu (cpu), 2 processes" in out
    assert count_records(tmp_path / "run") == ONCE
    assert_close(tmp_path / "run", alone)


@pytest.mark.slow
def test_a_divided_optimizer_comes_to_its_end_and_goes_on(tmp_path, launch):
    """Its parts lie in several processes, none of which can see the whole."""
    run, words = tmp_path / "run", ["--config.shard_optimizer=true"]
    for steps in (20, 30):
        duration = f"--config.duration={steps} steps"
        status, out, err = finish(launch(2, run, *words, duration))
        assert status == 0, err
        assert "test accuracy" in out
    assert "resuming after step 20" in out
    assert train(run, *SETTINGS, "--config.duration=40 steps") == 0
