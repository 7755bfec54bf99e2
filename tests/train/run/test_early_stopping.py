"""Early stopping, the best state and averaged weights, in runs that are cut in two."""

import os

import jax
import numpy as np
import pytest

from cnnjax.errors import ConfigError, Interrupted
from cnnjax.train.run.evaluate_run import evaluate_run
from cnnjax.train.run.loop import train
from tests.support.train.faults import StopAt, assert_same
from tests.support.train.restless import RESTLESS


def validations(recorder):
    return {r["step"]: r["loss"] for r in recorder.records if r["kind"] == "validation"}


@pytest.mark.slow
def test_it_stops_and_takes_the_best_state(tmp_path, small_config, recorder):
    config = small_config(**RESTLESS)
    result = train(config, tmp_path / "run", recorder)
    losses = validations(recorder)
    best, last = min(losses, key=losses.get), max(losses)
    assert last == best + 4 * 3 < 300
    assert int(result.state.step) == best
    told = f"stopping early after step {last}: 4 validations were no better"
    assert any(text.startswith(told) for text in recorder.messages)
    assert recorder.records[-1]["kind"] == "test"
    assert recorder.records[-1]["step"] == best
    assert evaluate_run(tmp_path / "run", "test") == result.test
    assert evaluate_run(tmp_path / "run", "validation").loss == losses[best]


@pytest.mark.slow
def test_cut_in_pieces_it_stops_at_the_same_step(tmp_path, small_config, recorder):
    config = small_config(**RESTLESS, average_decay="0.9")
    whole = train(config, tmp_path / "whole", recorder)
    last = max(validations(recorder))
    for step in (4, last - 5, last - 2):
        with pytest.raises(Interrupted):
            train(config, tmp_path / "run", StopAt(recorder, step))
    result = train(config, tmp_path / "run", recorder)
    assert_same(result.state, whole.state)
    assert result.test == whole.test
    again = train(config, tmp_path / "run", recorder)
    assert again.test == whole.test
    assert max(record["step"] for record in recorder.steps) == last


@pytest.mark.slow
def test_more_patience_goes_on(tmp_path, small_config, recorder):
    train(small_config(**RESTLESS), tmp_path / "run", recorder)
    first = max(validations(recorder))
    patient = RESTLESS | {"early_stopping__patience": "8"}
    train(small_config(**patient), tmp_path / "run", recorder)
    assert max(validations(recorder)) > first


@pytest.mark.slow
def test_the_last_state_can_be_wanted(tmp_path, small_config, recorder):
    config = small_config(**RESTLESS, early_stopping__restore_best="false")
    result = train(config, tmp_path / "run", recorder)
    assert int(result.state.step) == max(validations(recorder))
    assert evaluate_run(tmp_path / "run", "test") == result.test


@pytest.mark.slow
def test_accuracy_can_be_what_counts(tmp_path, small_config, recorder):
    config = small_config(**RESTLESS, monitor="accuracy")
    result = train(config, tmp_path / "run", recorder)
    scores = {
        r["step"]: r["accuracy"] for r in recorder.records if r["kind"] == "validation"
    }
    assert int(result.state.step) == max(scores, key=scores.get)


@pytest.mark.slow
def test_a_damaged_best_state_gives_way_to_the_last(tmp_path, small_config, recorder):
    config = small_config(**RESTLESS)
    best = int(train(config, tmp_path / "run", recorder).state.step)
    for file in (tmp_path / "run" / "checkpoints" / str(best)).glob("state/**/d/*"):
        os.truncate(file, file.stat().st_size // 2)
    result = train(config, tmp_path / "run", recorder)
    assert int(result.state.step) == max(validations(recorder))
    assert any(f"step {best} is damaged" in text for text in recorder.messages)


@pytest.mark.slow
def test_averaged_weights_are_what_is_scored(tmp_path, small_config, recorder):
    config = small_config(duration="20 steps", average_decay="0.8")
    states = []
    train(
        config,
        tmp_path / "run",
        recorder,
        watch_state=lambda state: states.append(jax.device_get(state)),
    )
    kernel = [s.params["Dense_0"]["kernel"].astype(np.float64) for s in states]
    average = states[0].average["params"]["Dense_0"]["kernel"].astype(np.float64)
    for t in range(1, 20):
        d = min(0.8, (1 + t) / (10 + t))
        average = d * average + (1 - d) * kernel[t]
    kept = states[-1].average["params"]["Dense_0"]["kernel"]
    np.testing.assert_allclose(kept, average, rtol=1e-4, atol=1e-6)
    with_average = evaluate_run(tmp_path / "run", "test")
    assert with_average == recorder_test(recorder, with_average)
    plain = small_config(duration="20 steps")
    train(plain, tmp_path / "plain", recorder)
    assert evaluate_run(tmp_path / "plain", "test").loss != with_average.loss


def recorder_test(recorder, score):
    last = recorder.records[-1]
    return score._replace(loss=last["loss"], accuracy=last["accuracy"])


@pytest.mark.slow
@pytest.mark.parametrize(("old", "new"), [("none", "0.9"), ("0.9", "none")])
def test_averaging_cannot_begin_or_end_on_the_way(
    tmp_path, small_config, recorder, old, new
):
    train(small_config(average_decay=old), tmp_path / "run", recorder)
    with pytest.raises(ConfigError, match="average_decay"):
        train(small_config(average_decay=new), tmp_path / "run", recorder)
