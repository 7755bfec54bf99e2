"""Faults from outside: disks, processes and clocks that are not as they should be.

Each is made for real. What a user is owed then: an exit status, one sentence that names
the file or the value and a way out, and everything that was good on disk as it was.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from cnnjax.report import MetricsFile, read_metrics
from cnnjax.train.run.loop import train as train_here
from tests.report.test_metrics_file import room
from tests.support.train.faults import (
    DIGITS,
    LONGER,
    ROOT,
    SHORT,
    TINY,
    contents,
    error,
    evaluate,
    mounted,
    remount,
    start,
    train,
    wait_until,
)


@pytest.fixture
def disk(tmp_path):
    with mounted(tmp_path / "disk", "size=40m,nr_inodes=500") as folder:
        yield folder


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")


@needs_root
@pytest.mark.parametrize("name", [".", "run", "a/b"])
def test_a_new_run_on_a_read_only_disk_is_refused(disk, capfd, name):
    remount(disk, "ro")
    assert train(disk / name, *SHORT) == 2
    err = error(capfd)
    assert f"workdir {disk / name} cannot be written" in err
    assert "give another --workdir" in err


@pytest.mark.slow
@needs_root
def test_a_run_on_a_read_only_disk_can_be_looked_at_but_not_gone_on_with(
    disk, trained, capfd
):
    run = shutil.copytree(trained, disk / "run")
    before = contents(run)
    remount(disk, "ro")
    assert train(run, *LONGER) == 2
    assert f"workdir {run} cannot be written" in error(capfd)
    assert evaluate(run) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["examples"] == 359
    assert err == ""
    remount(disk, "rw")
    assert contents(run) == before
    assert train(run, *LONGER) == 0
    assert "resuming after step 20" in capfd.readouterr().out


@needs_root
@pytest.mark.slow
def test_a_disk_without_room_for_more_files_harms_no_older_checkpoint(disk):
    """Bytes are free, so the save begins; then no further file can be made."""
    assert train(disk / "run", *TINY, "--config.duration=20 steps") == 0
    # How many files a checkpoint has, differs from one to the next.
    usage = os.statvfs(disk)
    remount(disk, f"nr_inodes={usage.f_files - usage.f_ffree + 8}")
    words = [*TINY, "--config.duration=40 steps", "--config.checkpoint.every=20 steps"]
    process = start(disk / "run", *words)
    out, err = process.communicate(timeout=120)
    assert "checkpoint of step 40 failed" in out
    assert process.returncode == 1
    assert "the last state, of step 40, could not be written" in err
    assert err.count("\n") == 1, err
    steps = {path.name for path in (disk / "run" / "checkpoints").iterdir()}
    # Without room for files, what was begun cannot always be cleared away.
    assert {name for name in steps if name.isdigit()} == {"20"}
    remount(disk, "nr_inodes=500")
    process = start(disk / "run", *words)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert "resuming after step 20" in out


@needs_root
@pytest.mark.slow
def test_a_disk_that_fills_up_during_a_save_does_not_end_the_run(disk):
    words = ["--config.duration=80 steps", "--config.checkpoint.every=20 steps"]
    folder = disk / "run" / "checkpoints"
    with start(disk / "run", *words, "--config.model.dense=(2000,)") as process:
        try:
            wait_until(lambda: any(folder.glob("40.orbax-checkpoint-tmp*")))
            fill(disk / "foreign")
            lines = iter(process.stdout.readline, "")
            told = next((line for line in lines if "failed" in line), "nothing")
            (disk / "foreign").unlink()
            _, err = process.communicate(timeout=120)
        finally:
            process.kill()
    assert "checkpoint of step 40 failed; older ones are kept" in told
    assert (process.returncode, err) == (0, "")
    steps = {path.name for path in folder.iterdir()}
    assert "80" in steps
    assert "40" not in steps
    assert not [name for name in steps if not name.isdigit()]


def fill(path):
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(2**16))
        except OSError:
            return


@pytest.mark.slow
def test_training_goes_on_while_metrics_find_no_room(tmp_path, small_config):
    path, told = tmp_path / "run" / "metrics.jsonl", []

    class Filling(MetricsFile):
        """The disk is full from step 5 to step 9, and no save falls between."""

        def step(self, record):
            if record["step"] == 5:
                stack.enter_context(room(path.stat().st_size + 50))
            if record["step"] == 9:
                assert read_metrics(path)[-1]["step"] == 4
                stack.close()

    with contextlib.ExitStack() as stack:
        metrics = Filling(path, told.append)
        config = small_config(eval_every="6 steps", checkpoint__every="4 steps")
        config.early_stopping.min_improvement = 100.0
        result = train_here(config, tmp_path / "run", metrics)
        metrics.close()
    assert int(result.state.step) == 12
    steps = [(record["kind"], record["step"]) for record in read_metrics(path)]
    assert steps == [
        ("train", 4),
        ("validation", 6),
        ("train", 8),
        ("train", 12),
        ("validation", 12),
        ("test", 12),
    ]
    assert "metrics cannot be written" in told[0]


NO_MEMORY = """
import resource
from cnnjax.cli import run
from cnnjax.train.run.checkpoint import Checkpoints
save = Checkpoints.save
def save_without_memory(self, *args):
    used = next(int(x.split()[1]) for x in open("/proc/self/status") if "VmSize" in x)
    resource.setrlimit(resource.RLIMIT_AS, (used * 1024 + 2**21, -1))
    save(self, *args)
Checkpoints.save = save_without_memory
run()
"""


@pytest.mark.slow
def test_a_run_without_memory_for_its_saves_ends_with_a_sentence(tmp_path):
    words = [*TINY, "--config.duration=2 steps", "--config.checkpoint.every=1 step"]
    command = [sys.executable, "-P", "-c", NO_MEMORY, "train", DIGITS, *words]
    with subprocess.Popen(
        [*command, f"--workdir={tmp_path}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        err = process.stderr.readline()
        while err and not err.startswith("cnnjax:"):
            assert "Traceback" not in err  # newer releases of JAX give a warning here
            err = process.stderr.readline()
        begin = time.monotonic()
        out, rest = process.communicate(timeout=100)
    assert "checkpoint of step 1 failed" in out
    assert err.startswith("cnnjax: error: the last state, of step 2, could not be")
    assert (process.returncode, rest) == (1, "")
    assert time.monotonic() - begin < 30


REMOVED = """
import pathlib, shutil, sys, threading
import numpy as np
from cnnjax.process import end_with
from cnnjax.train.run.checkpoint import Checkpoints
folder, over = pathlib.Path(sys.argv[1]), threading.Event()
def remove():
    while not over.is_set():
        for path in folder.glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(path, ignore_errors=True)
def main():
    checkpoints = Checkpoints(folder)
    remover = threading.Thread(target=remove, daemon=True)
    remover.start()
    for step in (1, 2, 3):
        checkpoints.save(step, {"x": np.zeros(2**20, np.float32)}, {})
    checkpoints._wait()
    over.set()
    remover.join()
    checkpoints.save(4, {"x": np.zeros(3, np.float32)}, {})
    checkpoints.finish()
    checkpoints.close()
    print("whole:", checkpoints.steps())
    return 7
end_with(main)
"""


@pytest.mark.slow
def test_saves_whose_folders_are_removed_harm_neither_the_next_nor_the_end(tmp_path):
    result = subprocess.run(
        [sys.executable, "-P", "-c", REMOVED, str(tmp_path / "checkpoints")],
        capture_output=True,
        text=True,
        timeout=180,
    )
    *told, last = result.stdout.splitlines()
    assert (result.returncode, result.stderr) == (7, "")
    assert last == "whole: [4]"
    failed = r"^saving the checkpoint of step (\d) failed;"
    steps = re.findall(failed, result.stdout, re.M)
    assert len(steps) == len(told)
    assert set(steps) <= {"1", "2", "3"}
    assert steps


def test_a_lock_that_a_dead_process_left_is_not_in_the_way(run, capfd):
    dead = subprocess.Popen(["true"])
    dead.wait()
    (run / ".lock").write_text(str(dead.pid))
    assert train(run, *LONGER) == 0
    assert "resuming after step 20" in capfd.readouterr().out


CLOCK = """
import sys, time
true, begin = time.time, time.time()
def jumping():
    return true() - 86400 * int((true() - begin) / 0.2)
time.time, time.time_ns = jumping, lambda: int(jumping() * 1e9)
from cnnjax.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_clock_that_runs_backwards_is_no_obstacle(tmp_path):
    """It jumps back by a day, five times a second."""
    for steps in (60, 120):
        words = [
            *TINY,
            f"--config.duration={steps} steps",
            "--config.log_every=5 steps",
        ]
        command = [sys.executable, "-c", CLOCK, "train", DIGITS, *words]
        command += [f"--workdir={tmp_path}", "--config.checkpoint.every=10 steps"]
        result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert (result.returncode, result.stderr) == (0, "")
    assert "resuming after step 60" in result.stdout
    records = read_metrics(tmp_path / "metrics.jsonl")
    seconds = [record["seconds"] for record in records]
    assert seconds == sorted(seconds)
    assert 0 < seconds[0] <= seconds[-1] < 100
    assert all(r["step_seconds"] > 0 for r in records if r["kind"] == "train")
