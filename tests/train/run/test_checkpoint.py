"""Which checkpoints are made and kept, and what they cost."""

import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from cnnjax.config.files import load_config
from cnnjax.errors import ConfigError
from cnnjax.report import Reporters
from cnnjax.train.run import loop, prepare
from cnnjax.train.run.loop import train
from tests.support.yardstick import ratio

ROOT = Path(__file__).parents[3]
FASHION_MNIST = ROOT / "configs" / "fashion_mnist.py"


def kept(workdir):
    return {int(path.name) for path in (workdir / "checkpoints").iterdir()}


@pytest.mark.slow
def test_every_so_many_steps_one_stays_for_good(tmp_path, small_config, recorder):
    config = small_config(
        duration="20 steps",
        eval_every="20 steps",
        checkpoint__every="3 steps",
        checkpoint__keep="1",
        checkpoint__keep_every="5 steps",
    )
    train(config, tmp_path / "run", recorder)
    assert kept(tmp_path / "run") == {5, 10, 15, 20}


@pytest.mark.slow
def test_saves_can_go_by_the_clock(tmp_path, small_config, recorder, monkeypatch):
    """A clock on which each look takes half a second."""
    now = iter(np.arange(0, 1e6, 0.5))

    class Clock:
        perf_counter = staticmethod(lambda: float(next(now)))

    monkeypatch.setattr(loop, "time", Clock)
    config = small_config(
        eval_every="12 steps", checkpoint__every="0.05 minutes", checkpoint__keep="50"
    )
    train(config, tmp_path / "run", recorder)
    steps = sorted(kept(tmp_path / "run"))
    assert steps[-1] == 12
    assert 2 < len(steps) < 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint__every": "0 minutes"}, "expected more than 0"),
        ({"eval_every": "3 minutes"}, "is not a fixed number of steps"),
        ({"checkpoint__keep_every": "1 hour"}, "is not a fixed number of steps"),
        ({"checkpoint__every": "3 fortnights"}, "unit in duration"),
    ],
)
def test_times_stand_where_they_can(tmp_path, small_config, recorder, changes, message):
    with pytest.raises(ConfigError) as caught:
        train(small_config(**changes), tmp_path / "run", recorder)
    assert message in str(caught.value)


@pytest.mark.slow
def test_another_kind_of_device_is_told(tmp_path, small_config, recorder, monkeypatch):
    config = small_config()
    train(config, tmp_path / "run", recorder)
    monkeypatch.setattr(prepare, "describe_devices", lambda devices: "gpu (Some GPU)")
    train(small_config(duration="14 steps"), tmp_path / "run", recorder)
    told = "the run used cpu (cpu) and resumes on gpu (Some GPU)"
    assert any(text.startswith(told) for text in recorder.messages)


@pytest.mark.alone
@pytest.mark.slow
def test_a_save_every_20_seconds_costs_little(tmp_path, monkeypatch):
    """What the loop waits for a save is below a hundredth of 20 seconds."""
    seconds, save = [], loop._save

    def timed(*args):
        begin = time.perf_counter()
        save(*args)
        seconds.append(time.perf_counter() - begin)

    monkeypatch.setattr(loop, "_save", timed)
    changes = {"duration": "60 steps", "checkpoint.every": "10 steps"}
    train(load_config(FASHION_MNIST, changes), tmp_path / "run", Reporters())
    assert len(seconds) == 6
    assert np.median(seconds) < 0.01 * 20


@pytest.mark.alone
@pytest.mark.slow
def test_a_resumed_process_takes_at_most_six_times_its_imports(tmp_path):
    """The whole process: imports, data, restoring, a step, scores, a checkpoint.

    It writes no report.html, which takes seconds at the end of a run.

    Measured: 4.0 times the imports on two free cores of an EPYC, and 4.6 to 5.3 times
    on two of a Xeon. The best of three, as other work may take the cores.
    """
    command = [sys.executable, "-m", "cnnjax", "train"]
    words = [f"--config={FASHION_MNIST}", f"--workdir={tmp_path}"]
    words.append("--config.report=('terminal', 'jsonl')")

    def train_until(step):
        result = subprocess.run(
            [*command, *words, f"--config.duration={step} steps"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert step == 2 or f"resuming after step {step - 1}" in result.stdout

    train_until(2)
    assert min(ratio(partial(train_until, step)) for step in (3, 4, 5)) < 6
