"""Callbacks during a run: what they are told, and how they stop it."""

import pytest

from cnnjax import Callback
from cnnjax.config.import_path import make_importable
from cnnjax.errors import ConfigError
from cnnjax.report import CallbackReporter, make_callback
from cnnjax.train.run.loop import train


class Everything(Callback):
    """Keeps what it is told, and asks to stop at a step."""

    def __init__(self, stop_at=None, method="on_step"):
        self.calls, self.stop_at, self.method = [], stop_at, method

    def _keep(self, name, *values):
        self.calls.append((name, *values))
        step = values[0] if isinstance(values[0], int) else values[0].get("step", 0)
        return name == self.method and step == self.stop_at

    def on_start(self, info):
        return self._keep("on_start", dict(info))

    def on_step(self, record):
        return self._keep("on_step", dict(record))

    def on_evaluation(self, record):
        return self._keep("on_evaluation", dict(record))

    def on_checkpoint(self, step, folder):
        return self._keep("on_checkpoint", step, folder)

    def on_end(self, info):
        self._keep("on_end", dict(info))

    def of(self, name):
        return [values for called, *values in self.calls if called == name]


def run(config, workdir, callback):
    return train(config, workdir, CallbackReporter([callback]))


def test_a_callback_is_told_of_everything_in_order(tmp_path, small_config):
    seen = Everything()
    config = small_config(checkpoint__every="6 steps")
    run(config, tmp_path / "a", seen)
    names = [name for name, *_ in seen.calls]
    assert (names[0], names[-1]) == ("on_start", "on_end")
    assert [record["step"] for (record,) in seen.of("on_step")] == [*range(1, 13)]
    kinds = [(record["kind"], record["step"]) for (record,) in seen.of("on_evaluation")]
    assert kinds[-2:] == [("validation", 12), ("test", 12)]
    saved = seen.of("on_checkpoint")
    assert {6, 12} <= {step for step, _ in saved}
    assert all(folder.endswith(f"checkpoints/{step}") for step, folder in saved)
    assert seen.of("on_end") == [[{"step": 12, "reason": "finished"}]]


@pytest.mark.slow
def test_a_callback_stops_a_run_which_is_then_resumed_exactly(tmp_path, small_config):
    stopping = Everything(stop_at=4)
    first = run(small_config(), tmp_path / "a", stopping)
    assert int(first.state.step) == 5  # one step was in flight
    assert stopping.of("on_end") == [[{"step": 5, "reason": "callback"}]]
    assert stopping.of("on_evaluation")[-1][0]["kind"] == "test"
    resumed = run(small_config(), tmp_path / "a", Everything())
    whole = run(small_config(), tmp_path / "b", Everything())
    assert resumed.test == whole.test
    assert int(resumed.state.step) == 12


def test_a_validation_may_stop_a_run(tmp_path, small_config):
    stopping = Everything(stop_at=5, method="on_evaluation")
    result = run(small_config(), tmp_path / "a", stopping)
    assert int(result.state.step) == 6


def test_a_callback_may_stop_a_run_before_its_second_step(tmp_path, small_config):
    stopping = Everything(stop_at=0, method="on_start")
    result = run(small_config(), tmp_path / "a", stopping)
    assert int(result.state.step) == 1


BAD = {
    "own_reporters:missing": "has no attribute 'missing'",
    "own_reporters:number": "an int, expected a subclass of cnnjax.Callback",
    "own_reporters:Plain": "a class, expected a subclass of cnnjax.Callback",
    "own_reporters:Needy": "failed with TypeError",
    "nowhere_reporters:A": "there is no module nowhere_reporters",
}


@pytest.mark.parametrize("path", BAD)
def test_what_is_no_callback_is_refused(path, tmp_path):
    (tmp_path / "own_reporters.py").write_text(
        "import cnnjax\n"
        "number = 3\n"
        "class Plain: pass\n"
        "class Needy(cnnjax.Callback):\n"
        "    def __init__(self, x): pass\n"
    )
    make_importable(tmp_path)
    with pytest.raises(ConfigError, match=BAD[path]):
        make_callback(path)
