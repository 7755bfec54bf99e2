"""Data that may not be what was meant, and paths of unusual names: told, and read."""

import os

import numpy as np
import pytest

from cnnjax.compare.model import make_problem
from cnnjax.train.run.workdir import read_config
from tests.support.train.faults import SHORT, evaluate, train, write_npz

NOTE = "note: class 0 of 6 has no training examples; labels run from 1 to 5"


def words(path):
    return [f"--config.data.source=npz:{path}", "--config.batch_size=16", *SHORT]


@pytest.mark.slow
def test_a_class_without_examples_is_told_by_every_command(tmp_path, capfd):
    path = write_npz(tmp_path / "set.npz", labels=np.arange(100) % 5 + 1)
    assert train(tmp_path / "run", *words(path)) == 0
    out, err = capfd.readouterr()
    assert (out.count(NOTE), err.count(NOTE)) == (1, 0)
    assert evaluate(tmp_path / "run") == 0
    assert capfd.readouterr().err.count(NOTE) == 1
    make_problem(read_config(tmp_path / "run"))  # of the command compare
    assert capfd.readouterr().err.count(NOTE) == 1


@pytest.mark.slow
def test_a_path_that_is_not_utf_8_is_trained_on_and_evaluated(tmp_path, capfd):
    written = write_npz(tmp_path / "set.npz")
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\x1b[31m.npz")
    written.rename(path)
    assert train(tmp_path / "run", *words(path)) == 0
    assert evaluate(tmp_path / "run") == 0
    os.unlink(path)
    capfd.readouterr()
    assert evaluate(tmp_path / "run") == 2
    err = capfd.readouterr().err
    assert r"/caf\udce9\x1b[31m.npz" in err
    assert err.strip().isprintable()
