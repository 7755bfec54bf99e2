"""The proof of resuming: it certifies what holds, and finds what does not."""

from pathlib import Path

import numpy as np
import pytest

from cnnjax.cli import main
from cnnjax.train.run.verify_resume import Difference, first_difference, hash_state
from cnnjax.train.step.state import TrainState

ROOT = Path(__file__).parents[3]
SMALL = ["--config.model.widths=(2,)", "--config.model.dense=()"]

RESTLESS = '''"""A config whose learning rate is another one in each process."""
import os
import runpy

def get_config():
    config = runpy.run_path({digits!r})["get_config"]()
    config.optimizer.learning_rate = 1e-3 * (1 + os.getpid() % 1000)
    return config
'''


def verify(path, *words):
    return main(["verify-resume", f"--config={path}", *SMALL, *words])


def test_what_holds_is_certified(capsys):
    words = ["--steps=9", "--pieces=2", "--config.average_decay=0.9"]
    assert verify(ROOT / "configs" / "digits.py", *words) == 0
    out = capsys.readouterr().out
    assert "piece 1: steps 1 to 5, killed" in out
    assert "certificate: in 2 pieces, after each of 9 steps" in out


@pytest.mark.slow
def test_a_run_that_changes_is_found(tmp_path, capsys):
    path = tmp_path / "restless.py"
    path.write_text(RESTLESS.format(digits=str(ROOT / "configs" / "digits.py")))
    assert verify(path, "--steps=4", "--pieces=2") == 1
    assert "the states differ first after step" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps=3", "--pieces=9"], "--pieces is 9 and --steps 3"),
        (["--config.batch_size=5000"], "batch_size is 5000"),
        (["--config.seed=x"], "seed is 'x'"),
    ],
)
def test_what_cannot_be_is_refused(capsys, words, message):
    assert verify(ROOT / "configs" / "digits.py", *words) == 2
    assert message in capsys.readouterr().err


def test_the_first_difference_is_named():
    whole = {1: {"a": "x", "b": "y"}, 2: {"a": "x", "b": "y"}}
    assert first_difference(whole, whole) is None
    assert first_difference(whole, {2: whole[2]}) is None
    part = {2: {"a": "x", "b": "z"}, 1: {"a": "x", "b": "y"}}
    assert first_difference(whole, part) == Difference(2, "b")
    assert first_difference(whole, {3: {"a": "x"}}) == Difference(3, "a")


def test_one_bit_makes_another_hash():
    zero = np.zeros(3, np.float32)
    fields = dict.fromkeys(TrainState._fields, zero)
    one = hash_state(TrainState(**fields))
    other = hash_state(TrainState(**fields | {"params": -zero}))
    assert [name for name in one if one[name] != other[name]] == ["params"]
