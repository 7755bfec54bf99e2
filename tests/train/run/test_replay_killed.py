"""Replayed steps of a run that was killed twice, by checksums of its gradients."""

import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cnnjax.train.run.replay import replay
from cnnjax.train.step.state import named_leaves
from tests.train.run.test_replay import MODULE

STEPS, KILLED_AFTER, REPLAYED = 60, (17, 38), 20
PROGRAM = """
import jax
from cnnjax.config.files import load_config
from cnnjax.train.run.loop import train
from cnnjax.typing import Reporter
from tests.train.conftest import CONFIGS
from tests.train.run.test_replay import RUN
from tests.train.run.test_replay_killed import STEPS, checksum

settings = {name.replace("__", "."): text for name, text in RUN.items()}
settings |= {"model.widths": "(4, 8)", "model.dense": "(16,)", "eval_every": "5 steps"}
settings |= {"duration": f"{STEPS} steps", "report": "('terminal', 'jsonl')"}

def watch(state):
    value = checksum(jax.device_get(state.opt_state), state.params)
    with open("checksums", "a") as file:
        file.write(f"{int(state.step)} {value}\\n")

config = load_config(CONFIGS / "digits.py", settings)
train(config, "run", Reporter(), watch_state=watch)
"""


def checksum(tree, params):
    """Of the gradients in a tree, one for each parameter."""
    total, arrays = hashlib.sha256(), dict(named_leaves(tree))
    for name, _ in named_leaves(params):
        (gradient,) = (leaf for key, leaf in arrays.items() if key.endswith(name))
        total.update(np.ascontiguousarray(gradient).tobytes())
    return total.hexdigest()


@pytest.mark.slow
def test_twenty_steps_have_the_gradients_that_trained_them(tmp_path, monkeypatch):
    (tmp_path / "keeping_optimizer.py").write_text(MODULE)
    file = tmp_path / "checksums"
    file.touch()
    root = str(Path(__file__).parents[3])
    words = [sys.executable, "-c", PROGRAM]
    options = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": root}}
    for after in KILLED_AFTER:
        process = subprocess.Popen(words, **options)
        while len(file.read_text().splitlines()) < after and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -9
    assert subprocess.run(words, **options, timeout=120).returncode == 0
    lines = [line.split() for line in file.read_text().splitlines()]
    assert len(lines) > STEPS  # the kills cost some steps, which were trained again
    recorded = {int(step): value for step, value in lines}
    assert len({tuple(line) for line in lines}) == STEPS  # and gave the same gradients
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for step in random.Random(0).sample(range(1, STEPS + 1), REPLAYED):
        found = replay("run", step)
        assert found.is_exact
        assert checksum(found.gradients, found.gradients) == recorded[step], step
