"""A learning rate that is too high is traced to its layer and step."""

import numpy as np
import pytest

from cnnjax.errors import NonFiniteLossError
from cnnjax.report.replay_files import describe_replay
from cnnjax.train.run.loop import train
from cnnjax.train.run.replay import replay
from cnnjax.train.run.update_size import describe_updates, find_large, step_updates

# A schedule with one wrong step, and an optimizer with one wrong layer from a step on.
MODULE = """
import jax, jax.numpy as jnp, optax
def jumping(learning_rate, total_steps, warmup_steps):
    return lambda step: jnp.where(step == 6, 100 * learning_rate, learning_rate)
def uneven(learning_rate):
    def init(params):
        return jnp.zeros((), jnp.int32)
    def update(updates, step, params=None):
        def scale(path, u):
            is_wrong = "Conv_1" in jax.tree_util.keystr(path)
            return u * jnp.where((step >= 6) & is_wrong, 100, 1)
        return jax.tree_util.tree_map_with_path(scale, updates), step + 1
    return optax.chain(
        optax.scale_by_learning_rate(learning_rate),
        optax.GradientTransformation(init, update),
    )
"""
PLAIN = {
    "optimizer__name": "sgd",
    "optimizer__learning_rate": "0.02",
    "optimizer__weight_decay": "0",
    "schedule__name": "constant",
    "schedule__warmup": "0 steps",
}


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "wrong_rates.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def described(folder, step):
    return "\n".join(describe_replay(replay(folder, step), folder))


@pytest.mark.slow
def test_one_step_with_a_wrong_rate_is_named(tmp_path, small_config, recorder, module):
    config = small_config(**PLAIN | {"schedule__name": "wrong_rates:jumping"})
    train(config, tmp_path / "run", recorder)
    assert "too large" not in described(tmp_path / "run", 6)
    for step in (7, 9):  # the step itself, and one after it
        text = described(tmp_path / "run", step)
        assert "kernel at step 7 is too large: " in text
        assert " times its usual size of " in text
        assert "(4 of 4 kernels have such updates)" in text
        assert "the learning rate is 2, after 0.02 at step 6" in text


@pytest.mark.slow
def test_one_layer_with_a_wrong_rate_is_named(tmp_path, small_config, recorder, module):
    config = small_config(**PLAIN | {"optimizer__name": "wrong_rates:uneven"})
    train(config, tmp_path / "run", recorder)
    assert "relative to its weights is that of" in described(tmp_path / "run", 6)
    assert "too large" not in described(tmp_path / "run", 6)
    text = described(tmp_path / "run", 7)
    assert "the update of Conv_1.kernel at step 7 is too large: " in text
    assert "kernels have such updates" not in text


@pytest.mark.slow
def test_a_run_that_ends_with_nan_names_the_update_before(
    tmp_path, small_config, recorder
):
    config = small_config(**PLAIN | {"optimizer__learning_rate": "1e15"})
    with pytest.raises(NonFiniteLossError) as caught:
        train(config, tmp_path / "run", recorder)
    text = str(caught.value)
    assert "The first values that are not finite: " in text
    assert "kernel at step 1 is too large: " in text
    assert "the learning rate is 1e+15" in text


def updates(number, size, rate=0.1):
    before = {"Conv_0": {"kernel": np.full((2, 3), 0.5), "bias": np.zeros(3)}}
    after = {
        "Conv_0": {"kernel": np.full((2, 3), 0.5 + 0.5 * size), "bias": np.ones(3)}
    }
    return step_updates(number, rate, before, after)


def test_what_is_too_large():
    assert updates(1, 0.25).ratios == {"Conv_0.kernel": pytest.approx(0.25)}
    assert find_large([updates(1, 0.001)]) == ""
    assert find_large([updates(1, 0.0005), updates(2, 0.009)]) == ""  # still small
    assert find_large([updates(1, 0.01), updates(2, 0.09)]) == ""
    assert find_large([updates(1, 0.001), updates(2, float("nan"))]) == ""
    assert find_large([updates(1, 0.0), updates(2, 0.05)]) == ""  # a warmup begins
    assert find_large([updates(3, 3.2)]) == (
        "the update of Conv_0.kernel at step 3 is too large: 3.2 times its weights; the"
        " learning rate is 0.1"
    )
    steps = [updates(1, 0.001), updates(2, 0.002), updates(3, 0.05, 4.0)]
    assert find_large(steps) == (
        "the update of Conv_0.kernel at step 3 is too large: 0.05 times its weights, 33"
        " times its usual size of 0.0015; the learning rate is 4, after 0.1 at step 2"
    )


def test_updates_of_the_usual_size():
    assert describe_updates([updates(1, 0.001), updates(2, 0.002)]) == (
        "the largest update relative to its weights is that of Conv_0.kernel: 0.002; in"
        " the steps before, 0.001"
    )
