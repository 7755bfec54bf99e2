"""Small runs that several tests share."""

import shutil
from pathlib import Path

import pytest

from cnnjax.config.files import load_config
from tests.support.train.faults import SHORT, train

CONFIGS = Path(__file__).parents[2] / "configs"


class Recorder:
    """A reporter that keeps what it is told."""

    def __init__(self):
        self.info, self.steps, self.records, self.messages = {}, [], [], []
        self.rewinds, self.checkpoints, self.ends = [], [], []
        self.progresses = []
        self.closed = False

    def start(self, info):
        self.info = dict(info)

    def rewind(self, step):
        self.rewinds.append(step)

    def step(self, record):
        self.steps.append(dict(record))

    def log(self, record):
        self.records.append(dict(record))

    def message(self, text):
        self.messages.append(text)

    def progress(self, task, done, total, unit):
        self.progresses.append((task, done, total, unit))

    def checkpoint(self, step, folder):
        self.checkpoints.append((step, folder))

    def wants_stop(self):
        return False

    def end(self, info):
        self.ends.append(dict(info))

    def close(self):
        self.closed = True


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture(scope="session")
def small_config():
    """A config of 12 steps on the digits; further settings by their dotted names."""

    def make(**changes):
        settings = {
            "model.widths": "(4, 8)",
            "model.dense": "(16,)",
            "duration": "12 steps",
            "eval_every": "5 steps",
            "log_every": "4 steps",
            "report": "('terminal', 'jsonl')",
        }
        changes = {name.replace("__", "."): text for name, text in changes.items()}
        return load_config(CONFIGS / "digits.py", settings | changes)

    return make


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of 20 steps, with the checkpoints of steps 15 and 20."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert train(folder, *SHORT) == 0
    return folder


@pytest.fixture
def run(tmp_path, trained):
    """A copy of that run to spoil."""
    return shutil.copytree(trained, tmp_path / "run")
