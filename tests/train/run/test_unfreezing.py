"""Runs that train more and more of a network."""

import jax
import numpy as np
import pytest

from cnnjax.errors import ConfigError, Interrupted
from cnnjax.train.run.loop import train
from tests.support.train.faults import StopAt, assert_same

STAGES = {
    "freeze": "(?!Dense_1).*",
    "unfreeze": "('2 steps: Dense_0.*', '4 steps')",
    "optimizer__name": "adam",
    "duration": "6 steps",
    "eval_every": "6 steps",
}


def trained_layers(before, after):
    moved = jax.tree.map(lambda x, y: (np.asarray(x) != y).any(), before, after)
    return {layer for layer, arrays in moved.items() if any(arrays.values())}


@pytest.mark.slow
def test_stages_begin_at_their_steps_also_after_a_resume(
    tmp_path, small_config, recorder
):
    config, states = small_config(**STAGES), []
    whole = train(
        config,
        tmp_path / "whole",
        recorder,
        watch_state=lambda state: states.append(jax.device_get(state)),
    )
    params = [state.params for state in states]
    assert trained_layers(params[0], params[1]) == {"Dense_1"}
    assert trained_layers(params[1], params[3]) == {"Dense_1", "Dense_0"}
    everything = {"Conv_0", "Conv_1", "Dense_0", "Dense_1"}
    assert trained_layers(params[3], params[5]) == everything
    told = [text for text in recorder.messages if text.startswith("training ")]
    assert [text.partition(" of")[0] for text in told] == [
        "training 170",
        "training 698",
        "training 1,034",
    ]
    compiled = [text for text in recorder.messages if text.startswith("step compiled")]
    assert len(compiled) == 3
    with pytest.raises(Interrupted):
        train(config, tmp_path / "stopped", StopAt(recorder, 2))  # within a stage
    assert_same(train(config, tmp_path / "stopped", recorder).state, whole.state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze": ""}, "unfreeze is .*, but freeze is empty"),
        ({"unfreeze": "('1 step: Conv_9.*',)"}, "'Conv_9.*' matches no whole name"),
        (
            {"unfreeze": "('1 step: Dense_0.*', '2 steps: Dense_0.*')"},
            "still frozen then; those are Conv_0.bias",
        ),
        ({"unfreeze": "('6 steps', '3 steps')"}, "begin after 6, 3 steps, expected"),
        ({"unfreeze": "('0 steps',)"}, "unfreeze is '0 steps', expected more than 0"),
        ({"unfreeze": "('soon',)"}, "unfreeze: duration is 'soon'"),
        ({"unfreeze": "('1 minute',)"}, "unfreeze: a duration of 1 minutes"),
        ({"unfreeze": "('1 step: (',)"}, "expected durations, each alone or with"),
        ({"unfreeze": "(3,)"}, "expected durations, each alone or with"),
        ({"optimizer__layer_decay": "1.5"}, "expected a number above 0, at most 1"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, small_config, recorder, changes, message):
    with pytest.raises(ConfigError, match=message):
        train(small_config(**STAGES | changes), tmp_path / "run", recorder)


@pytest.mark.slow
def test_stages_are_fixed_when_a_run_resumes(tmp_path, small_config, recorder):
    short = STAGES | {"duration": "1 step", "eval_every": "1 step"}
    train(small_config(**short), tmp_path / "run", recorder)
    changed = STAGES | {"unfreeze": "('6 steps',)"}
    with pytest.raises(ConfigError, match="a state for each of these stages"):
        train(small_config(**changed), tmp_path / "run", recorder)


@pytest.mark.slow
def test_layer_decay_is_told(tmp_path, small_config, recorder):
    config = small_config(optimizer__layer_decay="0.5", duration="1 step")
    train(config, tmp_path / "run", recorder)
    told = (
        "layer_decay 0.5: learning rates times 0.125 (Conv_0) to 1 (Dense_1) in 4"
        " groups, which cnnjax info --config=FILE lists"
    )
    assert told in recorder.messages
