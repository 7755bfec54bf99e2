"""Runs as processes: how many at a time, what stops them, and what they see."""

import os
import signal
import sys
import threading
import time

import pytest

from cnnjax.sweep import train_runs as module
from cnnjax.sweep.outcome import read_outcome
from cnnjax.sweep.plan import PlannedRun
from cnnjax.sweep.train_runs import Events, list_gpus, share_gpus, train_runs
from cnnjax.train.run.metrics import Monitor

LONG = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
open("ready", "x")
time.sleep(60)
"""


class Recorder:
    """What was called, and how many runs trained at once."""

    def __init__(self, prunes=lambda run: False):
        self.begun, self.statuses, self.most = [], {}, 0
        self.events = Events(self.started, prunes, self.ended)

    def started(self, run):
        self.begun.append(run.number)
        self.most = max(self.most, len(self.begun) - len(self.statuses))

    def ended(self, run, status):
        self.statuses[run.number] = status


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Trains programs in place of runs; each starts in a folder of its own."""

    def words(run, folder, config):
        begin = f"import os; os.chdir({str(folder / run.name)!r})\n"
        return [sys.executable, "-S", "-c", begin + run.overrides["program"]]

    monkeypatch.setattr(module, "train_command", words)

    def begin(recorder, *programs, jobs=1):
        runs = [
            PlannedRun(n, f"run{n}", {}, {"program": text}, None)
            for n, text in enumerate(programs)
        ]
        found = train_runs(iter(runs), tmp_path, "config.py", recorder.events, jobs)
        outcomes = [
            read_outcome(run, tmp_path / run.name, Monitor("loss", False))
            for run in runs
        ]
        return found, [(each.state, each.reason) for each in outcomes]

    return begin


def wait_for(path):
    end = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_failed_run_does_not_stop_the_others(train, tmp_path):
    recorder = Recorder()
    programs = (
        "print('hello'); print('cnnjax: error: no data'); raise SystemExit(2)",
        "raise SystemExit(3)",
        "import os; os.kill(os.getpid(), 9)",
        "raise SystemExit(143)",  # somebody stopped this run alone
        "pass",
    )
    found, outcomes = train(recorder, *programs)
    assert found is None
    assert recorder.most == 1
    assert recorder.statuses == {0: 2, 1: 3, 2: -9, 3: 143, 4: 0}
    assert outcomes[0] == ("failed", "no data")
    assert outcomes[1][1].startswith("exit status 3; ")
    assert outcomes[2:4] == [("failed", "killed by SIGKILL"), ("not started", "")]
    assert (tmp_path / "run0" / "output.txt").read_text().startswith("hello\n")
    train(Recorder(), "print('again')")
    assert not (tmp_path / "run0" / "outcome.json").exists()
    assert "no data\nagain" in (tmp_path / "run0" / "output.txt").read_text()


def test_several_runs_at_a_time(train):
    recorder = Recorder()
    train(recorder, *4 * ["import time; time.sleep(0.3)"], jobs=2)
    assert recorder.most == 2
    assert recorder.statuses == dict.fromkeys(range(4), 0)


def test_a_signal_is_passed_on_and_no_other_run_starts(train, tmp_path):
    recorder = Recorder()

    def stop():
        wait_for(tmp_path / "run0" / "ready")
        wait_for(tmp_path / "run1" / "ready")
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    before = signal.getsignal(signal.SIGTERM)
    thread.start()
    found, outcomes = train(recorder, LONG, LONG, LONG, jobs=2)
    thread.join()
    assert found == signal.SIGTERM
    assert recorder.statuses == {0: 143, 1: 143}
    assert outcomes == 3 * [("not started", "")]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_pruned_run_is_stopped_and_marked(train, tmp_path):
    ready = tmp_path / "run0" / "ready"
    recorder = Recorder(lambda run: ready.exists())
    found, outcomes = train(recorder, LONG)
    assert (found, recorder.statuses, outcomes[0][0]) == (None, {0: 143}, "pruned")


def test_jobs_take_gpus_in_turn(monkeypatch):
    assert list_gpus({"CUDA_VISIBLE_DEVICES": "2, 5"}) == ["2", "5"]
    assert list_gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == []
    assert list_gpus({"CUDA_VISIBLE_DEVICES": "0", "JAX_PLATFORMS": "cpu"}) == []
    monkeypatch.setattr(module.shutil, "which", lambda name: "/bin/echo")
    assert list_gpus({}) == []  # it prints no line of a GPU
    shares = [share_gpus(["2", "5"], slot, 2, {}) for slot in range(2)]
    assert shares == [{"CUDA_VISIBLE_DEVICES": "2"}, {"CUDA_VISIBLE_DEVICES": "5"}]
    limit = "XLA_PYTHON_CLIENT_MEM_FRACTION"
    shared = share_gpus(["2", "5"], 3, 4, {})
    assert shared == {"CUDA_VISIBLE_DEVICES": "5", limit: "0.375"}
    assert limit not in share_gpus(["2"], 0, 4, {limit: "0.1"})
    assert share_gpus([], 0, 4, {}) == {}
