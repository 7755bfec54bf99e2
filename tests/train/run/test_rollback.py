"""Losses that are not finite: stop, or go back."""

import numpy as np
import pytest

from cnnjax.errors import NonFiniteLossError
from cnnjax.train.run.loop import train
from tests.support.train.faults import assert_same, leaves

# From 6 steps on the rate is far too high, until it has fallen to a millionth.
RUNAWAY = {
    "optimizer__name": "sgd",
    "optimizer__weight_decay": "0",
    "optimizer__learning_rate": "1e6",
    "schedule__name": "constant",
    "schedule__warmup": "0 steps",
    "duration": "24 steps",
    "checkpoint__every": "4 steps",
    "on_nan": "rollback",
    "rollback__factor": "1e-4",
}


def test_it_goes_back_with_a_lower_rate(tmp_path, small_config, recorder):
    result = train(small_config(**RUNAWAY), tmp_path / "run", recorder)
    assert int(result.state.step) == 24
    told = [text for text in recorder.messages if "going back to step" in text]
    assert told
    assert "rollback 1 of 3" in told[0]
    assert "0.0001 times the learning rate" in told[0]
    assert recorder.steps[-1]["learning_rate"] == pytest.approx(1e6 * 1e-4 ** len(told))
    assert all(np.isfinite(leaf).all() for leaf in leaves(result.state))
    assert recorder.rewinds == [0] * (1 + len(told))


@pytest.mark.slow
def test_going_on_after_a_rollback_ends_the_same(tmp_path, small_config, recorder):
    config = small_config(**RUNAWAY)
    whole = train(config, tmp_path / "whole", recorder)

    class PowerCut(Exception):
        pass

    class Cut(type(recorder)):
        def step(self, record):
            super().step(record)
            if record["step"] == 11 and self.rewinds != [0]:
                raise PowerCut

    with pytest.raises(PowerCut):
        train(config, tmp_path / "run", Cut())
    result = train(config, tmp_path / "run", recorder)
    assert_same(result.state, whole.state)


def test_it_does_not_go_back_for_ever(tmp_path, small_config, recorder):
    hopeless = RUNAWAY | {"optimizer__learning_rate": "1e30", "rollback__times": "2"}
    with pytest.raises(NonFiniteLossError, match="went back 2 times already"):
        train(small_config(**hopeless), tmp_path / "run", recorder)


@pytest.mark.slow
def test_weights_that_are_not_finite_are_never_saved(tmp_path, small_config, recorder):
    """One step at such a rate overflows, though its own loss was fine."""
    config = small_config(
        **RUNAWAY
        | {
            "optimizer__learning_rate": "1e38",
            "optimizer__clip_norm": "none",
            "checkpoint__every": "1 step",
            "on_nan": "stop",
        }
    )
    with pytest.raises(NonFiniteLossError):
        train(config, tmp_path / "run", recorder)
    good = small_config(**RUNAWAY | {"optimizer__learning_rate": "0.01"})
    assert int(train(good, tmp_path / "run", recorder).state.step) == 24


def test_metrics_stand_once_after_a_rollback(tmp_path, small_config):
    from cnnjax.report import MetricsFile, read_metrics

    file = MetricsFile(tmp_path / "run" / "metrics.jsonl")
    train(small_config(**RUNAWAY, log_every="1 step"), tmp_path / "run", file)
    file.close()
    records = read_metrics(tmp_path / "run" / "metrics.jsonl")
    steps = [record["step"] for record in records if record["kind"] == "train"]
    assert steps == list(range(1, 25))
