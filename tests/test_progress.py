"""Telling how far long work is: to a listener, and to nobody."""

import threading
import time

import numpy as np
import pytest

from cnnjax import progress
from cnnjax.data import measure
from cnnjax.progress import elapsing, shown_by, tell


def test_work_is_told_to_the_listener_of_its_context_only():
    told = []
    tell("before", 1, 2)
    with shown_by(lambda *work: told.append(work)):
        tell("within", 1, 2)
        thread = threading.Thread(target=tell, args=("elsewhere", 1, 2))
        thread.start()
        thread.join()
    tell("after", 1, 2)
    assert told == [("within", 1, 2, "images")]


def test_time_goes_by_until_the_work_itself_tells_more(monkeypatch):
    monkeypatch.setattr(progress, "TICK_SECONDS", 0.02)
    told = []
    with shown_by(lambda *work: told.append(work)), elapsing("compiling"):
        time.sleep(0.2)
        before = len(told)
        tell("evaluating", 5, 10)
        time.sleep(0.1)
    assert before > 2
    assert set(told[:before]) == {("compiling", 0, None, "s")}
    assert ("evaluating", 5, 10, "images") in told
    assert len(told) <= before + 3
    assert told[-1] == ("compiling", 0, 0, "s")


def test_the_thread_ends_with_the_work(monkeypatch):
    listening = shown_by(lambda *work: None)
    with pytest.raises(ZeroDivisionError), listening, elapsing("compiling"):
        raise ZeroDivisionError
    assert "cnnjax compiling" not in [t.name for t in threading.enumerate()]
    with elapsing("compiling"):  # without a listener, there is no thread at all
        assert "cnnjax compiling" not in [t.name for t in threading.enumerate()]


def test_normalization_tells_each_pass_to_its_end():
    told = []
    with shown_by(lambda *work: told.append(work)):
        measure(np.zeros((3000, 32, 32, 1), np.float32))
    for which in ("1 of 2", "2 of 2"):
        task = f"measuring normalization, pass {which}"
        done = [d for name, d, *_ in told if name == task]
        assert done == [1024, 2048, 3000]
