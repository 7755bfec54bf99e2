"""``cnnjax sweep`` as a whole: stopped, and continued by the same command."""

import csv
import json
import os
import signal
import sys
import threading

import pytest

from cnnjax.cli import main
from cnnjax.report import read_metrics
from tests.support.train.faults import DIGITS, TINY, contents, error, wait_for_step

SWEEP = ["sweep", DIGITS, *TINY, "--config.checkpoint.every=50 steps"]
SWEEP += ["--config.eval_every=200 steps"]


@pytest.mark.slow  # three processes train
def test_a_stopped_sweep_continues(tmp_path, capfd):
    folder = tmp_path / "sweep"
    long = folder / "duration=400_steps"
    command = [*SWEEP, f"--workdir={folder}", "--set", "duration=5 steps,400 steps"]

    def stop():
        wait_for_step(long, 50)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    assert main(command) == 128 + signal.SIGTERM
    thread.join()
    out = capfd.readouterr().out
    assert "2 runs: 2 not started" in out
    assert (
        "Stopped by SIGTERM: 1 of 2 runs are finished; rerun the same command to resume"
        in out
    )
    done = contents(folder / "duration=5_steps")

    assert main([*command, "--list"]) == 0
    out = capfd.readouterr().out.splitlines()
    assert [line.split()[:3] for line in out[1:3]] == [
        ["0", "duration=5_steps", "finished"],
        ["1", "duration=400_steps", "unfinished"],
    ]
    assert main(command) == 0
    out = capfd.readouterr().out
    assert "2 runs: 1 finished, 1 unfinished" in out
    assert "to compare the best: cnnjax report" in out
    assert contents(folder / "duration=5_steps") == done
    assert "resuming after step" in (long / "output.txt").read_text()
    records = read_metrics(long / "metrics.jsonl")
    best = min(r["loss"] for r in records if r["kind"] == "validation")
    lines = [*csv.DictReader((folder / "sweep.csv").read_text().splitlines())]
    assert [line["name"] for line in lines] == [long.name, "duration=5_steps"]
    assert float(lines[0]["validation_loss"]) == best
    assert {line["state"] for line in lines} == {"finished"}
    assert json.loads((folder / "sweep.json").read_text())["runs"][0]["number"] == 1


@pytest.mark.slow
def test_one_run_alone_is_trained_in_this_process(tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(os, "execv", lambda path, words: found.extend([path, *words]))
    command = [*SWEEP, f"--workdir={tmp_path / 'sweep'}", "--set", "seed=5:8"]
    main([*command, "--only=1"])
    path, *words = found
    assert path == words[0] == sys.executable
    assert words[1:5] == ["-P", "-m", "cnnjax", "train"]
    assert words[5:7] == [DIGITS, f"--workdir={tmp_path / 'sweep' / 'seed=6'}"]
    assert {*TINY, "--config.seed=6", "--config.eval_every=200 steps"} <= {*words[7:]}


def test_bad_commands_are_refused_before_any_run(tmp_path, capfd):
    folder = tmp_path / "sweep"
    for words, message in [
        (["--set", "seed=1,2", "--only=2"], "--only is 2, expected 0 to 1"),
        (["--set", "seed=1,2", "--jobs=0"], "--jobs is 0"),
        (["--set", "model.dropout=0..0.5"], "is an interval"),
        (["--set", "batch_size=8,0"], "the run with batch_size=0"),
    ]:
        assert main([*SWEEP, f"--workdir={folder}", *words]) == 2
        assert message in error(capfd)
    assert not folder.exists()
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    assert main([*SWEEP, f"--workdir={folder}", "--set", "seed=1,2"]) == 2
    assert "holds a run, expected a folder for a sweep" in error(capfd)
