"""Processes that were given different things: what all of them are told."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from cnnjax.train.machine.agreement import find_differences
from tests.support.train.faults import DIGITS, ROOT, write_npz

SCRIPT = ROOT / "tests/support/train/what_processes_have.py"
CONFIG = DIGITS.partition("=")[2]


def run_two(command, *words):
    """Runs a command as two processes, ``words[i]`` for process ``i`` alone.

    Returns:
        The exit status and standard error of each.
    """
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    shared = [f"--coordinator=localhost:{port}", "--num_processes=2"]
    running = [
        subprocess.Popen(
            [
                sys.executable,
                *command,
                *shared,
                f"--process_id={number}",
                *words[number],
            ],
            cwd=ROOT,
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    try:
        errors = [process.communicate(timeout=120)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    return [(p.returncode, err) for p, err in zip(running, errors, strict=True)]


@pytest.mark.slow
def test_all_name_what_one_was_given_differently(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    ended = run_two([SCRIPT, CONFIG, tmp_path], [], [])
    assert [status for status, _ in ended] == [0, 0], ended
    first, second = (
        json.loads((tmp_path / f"{number}.json").read_text()) for number in range(2)
    )
    assert first.pop("left behind") == second.pop("left behind") == []
    assert first == second
    for name, part in {
        "learning rate": "learning_rate is 0.002 (process 0), 0.5 (process 1).",
        "duration": "duration is '40 epochs' (process 0), '7 steps' (process 1).",
        "seed and data": "differ: seed is 0 (process 0), 3 (process 1). Start",
        "resume": "--resume is 'auto' (process 0), 'never' (process 1).",
        "pixel": "digest of the images of the train split is ",
        "label": "digest of the labels of the train split is ",
        "size": "number of examples of the train split is 8 (process 0), 9 (process 1)",
        "not shared": "workdir is not shared: process 1 (on ",
    }.items():
        assert part in first[name], name
    assert first["cache"] == first["shared"] == ""


def test_who_has_what_is_told_once():
    given = [{"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 1, "b": 2}, {"a": 1}]
    assert find_differences(given) == [
        "b is 2 (processes 0, 2), 3 (process 1), missing (process 3)"
    ]
    assert find_differences(given[:1] * 3) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_a_setting_that_one_refuses_ends_all_within_seconds(tmp_path, number):
    words: list[list[str]] = [[], []]
    words[number] = ["--config.batch_size=0"]
    begin = time.monotonic()
    command = ["-m", "cnnjax", "train", DIGITS, f"--workdir={tmp_path / 'run'}"]
    ended = run_two(command, *words)
    assert time.monotonic() - begin < 60
    assert [status for status, _ in ended] == [2, 2], ended
    refusal = "batch_size is 0, expected a whole number"
    assert ended[number][1].startswith(f"cnnjax: error: {refusal}")
    assert f"process {number}: {refusal}" in ended[1 - number][1]
    assert not (tmp_path / "run").exists()


AT_HOME = """
import os, sys
from cnnjax.cli import main
folder, *words = sys.argv[1:]
os.environ["HOME"] = f"{folder}/{words[-1]}"
sys.exit(main(["train", *words]))
"""


@pytest.mark.slow
def test_data_that_one_process_cannot_read_ends_all_within_seconds(tmp_path):
    (tmp_path / "--process_id=0").mkdir()
    write_npz(tmp_path / "--process_id=0" / "data.npz")
    words = [
        DIGITS,
        f"--workdir={tmp_path / 'run'}",
        "--config.data.source=npz:~/data.npz",
    ]
    begin = time.monotonic()
    ended = run_two(["-c", AT_HOME, str(tmp_path), *words], [], [])
    assert time.monotonic() - begin < 60
    assert [status for status, _ in ended] == [2, 2], ended
    missing = f"{tmp_path}/--process_id=1/data.npz"
    for _, text in ended:
        assert "cnnjax: " in text
        assert "Traceback" not in text
        assert "process 1" in text
        assert missing in text
    assert {path.name for path in (tmp_path / "run").glob("*")} <= {".lock"}
