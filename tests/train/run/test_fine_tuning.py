"""Fine-tuning: weights of another run, a new head, frozen parts."""

import shutil

import jax
import numpy as np
import pytest

from cnnjax.errors import ConfigError
from cnnjax.train.run.loop import train
from tests.support.train.faults import assert_same
from tests.train.conftest import Recorder

HEAD_ANEW = r"(?!Dense_1\.).*"


@pytest.fixture(scope="module")
def base(tmp_path_factory, small_config):
    """A run on the ten digits: its result and its folder."""
    folder = tmp_path_factory.mktemp("base") / "run"
    return train(small_config(), folder, Recorder()), folder


@pytest.fixture
def pretrained(tmp_path, base):
    """A copy of that run, and the path of a set with three classes."""
    result, folder = base
    shutil.copytree(folder, tmp_path / "base")
    draw = np.random.default_rng(0)
    np.savez(
        tmp_path / "three.npz",
        images=draw.integers(0, 256, (300, 8, 8), np.uint8),
        labels=np.arange(300) % 3,
    )
    return result, {
        "data__source": f"npz:{tmp_path / 'three.npz'}",
        "init_from": str(tmp_path / "base"),
    }


def first_states(config, workdir, recorder):
    states = []
    train(
        config,
        workdir,
        recorder,
        watch_state=lambda state: states.append(jax.device_get(state)),
    )
    return states


@pytest.mark.slow
def test_all_but_the_head_is_taken_and_frozen(
    tmp_path, small_config, recorder, pretrained
):
    result, settings = pretrained
    config = small_config(
        **settings, init_load=HEAD_ANEW, freeze="Conv_.*", optimizer__weight_decay="0.1"
    )
    *_, last = first_states(config, tmp_path / "run", recorder)
    for name in ("Conv_0", "Conv_1"):
        assert_same(last.params[name], result.state.params[name])
    old = result.state.params["Dense_0"]["kernel"]
    assert (np.asarray(old) != last.params["Dense_0"]["kernel"]).any()
    assert last.params["Dense_1"]["kernel"].shape == (16, 3)
    told = "not loaded: Dense_1.bias, Dense_1.kernel"
    assert any(text.endswith(told) for text in recorder.messages)


@pytest.mark.slow
def test_the_run_goes_on_without_the_other_one(
    tmp_path, small_config, recorder, pretrained
):
    _, settings = pretrained
    config = small_config(**settings, init_load=HEAD_ANEW, duration="6 steps")
    train(config, tmp_path / "run", recorder)
    (tmp_path / "base").rename(tmp_path / "gone")
    longer = small_config(**settings, init_load=HEAD_ANEW, duration="9 steps")
    assert int(train(longer, tmp_path / "run", recorder).state.step) == 9


@pytest.mark.slow
def test_a_checkpoint_can_be_named(tmp_path, small_config, recorder):
    states = first_states(
        small_config(checkpoint__every="4 steps", checkpoint__keep="9"),
        tmp_path / "base",
        recorder,
    )
    settings = {
        "init_from": str(tmp_path / "base" / "checkpoints" / "8"),
        "freeze": ".*",
        "duration": "1 step",
    }
    (only,) = first_states(small_config(**settings), tmp_path / "run", recorder)
    assert_same(only.params, states[7].params)


@pytest.mark.slow
def test_averaged_weights_are_what_is_taken(tmp_path, small_config, recorder):
    *_, last = first_states(
        small_config(average_decay="0.7"), tmp_path / "base", recorder
    )
    settings = {"init_from": str(tmp_path / "base"), "freeze": ".*"}
    first, *_ = first_states(small_config(**settings), tmp_path / "run", recorder)
    assert_same(first.params, last.average["params"])


def test_a_head_of_another_size_is_told_with_the_remedy(
    tmp_path, small_config, recorder, pretrained
):
    _, settings = pretrained
    with pytest.raises(ConfigError) as caught:
        train(small_config(**settings), tmp_path / "run", recorder)
    message = str(caught.value)
    assert "Dense_1.bias has shape (10,)" in message
    assert "expected shape (3,)" in message
    assert rf"--config.init_load='{HEAD_ANEW}'" in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze": "Conv_0"}, "freeze is 'Conv_0', which matches no whole name"),
        ({"init_load": "head.*"}, "init_load is 'head.*', which matches no"),
        ({"model__widths": "(4, 9)"}, "Conv_1.bias has shape (8,)"),
        ({"model__dense": "(16, 5)"}, "has shape"),
        ({"init_from": "no/such/run"}, "there is no no/such/run/config.json"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path, small_config, recorder, pretrained, changes, message
):
    _, settings = pretrained
    settings = {"init_from": settings["init_from"]} | changes
    with pytest.raises(ConfigError) as caught:
        train(small_config(**settings), tmp_path / "run", recorder)
    assert message in str(caught.value)


@pytest.mark.parametrize("key", ["freeze", "init_load"])
def test_a_pattern_that_is_none_is_refused(small_config, key):
    with pytest.raises(ConfigError, match="expected a regular expression"):
        small_config(**{key: "(unclosed"})


@pytest.mark.slow
def test_branching_off_is_going_on_elsewhere(tmp_path, small_config, recorder):
    config = small_config(
        checkpoint__every="4 steps", checkpoint__keep="9", data__flip="true"
    )
    whole = train(config, tmp_path / "base", recorder)
    place = str(tmp_path / "base" / "checkpoints" / "8")
    result = train(config, tmp_path / "run", recorder, resume=place)
    assert_same(result.state, whole.state)
    assert result.test == whole.test
    assert "resuming after step 8" in recorder.messages
    # Given once more, the command resumes its own run.
    again = train(config, tmp_path / "run", recorder, resume=place)
    assert again.test == whole.test
    with pytest.raises(ConfigError, match="--resume is 'nowhere'"):
        train(config, tmp_path / "other", recorder, resume="nowhere")
