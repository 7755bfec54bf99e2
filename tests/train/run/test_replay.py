"""Past steps of a run again, with the very gradients that trained it."""

from itertools import islice

import jax
import numpy as np
import pytest

from cnnjax.api import train as train_in_python
from cnnjax.data import RawDataset, Split, train_batches
from cnnjax.errors import ConfigError, Interrupted, NonFiniteLossError
from cnnjax.report.replay_files import describe_replay, write_replay
from cnnjax.train.run.loop import train
from cnnjax.train.run.replay import replay
from cnnjax.train.step.state import named_leaves
from tests.support.train.faults import StopAt

# An optimizer whose state is the gradient that it took.
MODULE = """
import jax, jax.numpy as jnp, optax
def keeping(learning_rate):
    def init(params):
        return jax.tree.map(jnp.zeros_like, params)
    def update(updates, state, params=None):
        return updates, updates
    keep = optax.GradientTransformation(init, update)
    return optax.chain(keep, optax.scale_by_learning_rate(learning_rate))
"""
RUN = {
    "optimizer__name": "keeping_optimizer:keeping",
    "optimizer__learning_rate": "0.05",
    "optimizer__weight_decay": "0",
    "data__augment": "('random_crop(1)', 'mixup(0.2)')",
    "model__dropout": "0.2",
    "checkpoint__every": "4 steps",
    "checkpoint__keep": "3",
}
RUNAWAY = {
    "optimizer__name": "sgd",
    "optimizer__learning_rate": "1e6",
    "optimizer__weight_decay": "0",
    "schedule__name": "constant",
    "schedule__warmup": "0 steps",
    "checkpoint__every": "4 steps",
    "checkpoint__keep": "4",
    "on_nan": "rollback",
    "rollback__factor": "1e-8",
}


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "keeping_optimizer.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def assert_equal(a, b):
    for (name, x), y in zip(named_leaves(a), jax.tree.leaves(b), strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes(), name


def test_a_step_of_a_resumed_run_has_the_gradients_that_trained_it(
    tmp_path, small_config, recorder, module
):
    config, states = small_config(**RUN), {}

    def watch(state):
        states[int(state.step)] = jax.device_get(state)

    with pytest.raises(Interrupted):
        train(config, tmp_path / "run", StopAt(recorder, 5), watch_state=watch)
    train(config, tmp_path / "run", recorder, watch_state=watch)
    losses = {record["step"]: record["loss"] for record in recorder.steps}
    for step, start in ((3, 0), (9, 8)):
        found = replay(tmp_path / "run", step)
        assert (found.start, found.is_exact) == (start, True)
        assert_equal(found.before, states[step - 1])
        assert_equal(found.after, states[step])
        kept = dict(named_leaves(states[step].opt_state))
        for name, gradient in named_leaves(found.gradients):
            (same,) = (x for key, x in kept.items() if key.endswith(name))
            assert_equal(gradient, same)
        assert float(found.metrics.loss) == losses[step]
        assert found.norms.losses.mean() == pytest.approx(losses[step], rel=1e-5)
    write_replay(found, tmp_path / "out")
    rows = (tmp_path / "out" / "examples.csv").read_text().splitlines()
    assert len(rows) == 1 + config.batch_size
    text = "\n".join(describe_replay(found, tmp_path / "out"))
    assert "step 9, rebuilt from the checkpoint of step 8" in text
    assert "repeated bit for bit" in text
    assert "not finite" not in text


@pytest.mark.parametrize("step", [0, 21])
def test_a_step_that_the_run_does_not_have(trained, step):
    with pytest.raises(ConfigError, match=f"step is {step}, expected .* 1 to 20"):
        replay(trained, step)


@pytest.mark.slow
def test_a_rolled_back_step_has_the_lower_rate(tmp_path, small_config, recorder):
    config, states = small_config(**RUNAWAY), {}

    def watch(state):
        states[int(state.step)] = jax.device_get(state)

    train(config, tmp_path / "run", recorder, watch_state=watch)
    assert any("rollback 1 of" in text for text in recorder.messages)
    assert_equal(replay(tmp_path / "run", 2).after, states[2])


@pytest.mark.slow
def test_an_image_with_huge_values_is_named_when_the_loss_is_not_finite(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.random((64, 8, 8, 1), np.float32), np.arange(64) % 3
    held_out = Split(images[:8].copy(), labels[:8])
    images[37] = 3e38
    settings = {
        "data.mean": (0.0,),
        "data.std": (1.0,),
        "model.widths": (4,),
        "batch_size": 8,
        "duration": "1 epoch",
    }
    data = RawDataset(Split(images, labels), held_out, held_out)
    with pytest.raises(NonFiniteLossError) as caught:
        train_in_python(settings, data=data, workdir=tmp_path / "run", progress="none")
    text = str(caught.value)
    assert "The first values that are not finite: the output of Conv_0" in text
    assert "it began with example 37, at position" in text
    assert "values up to 3e+38" in text
    numbers = Split(np.arange(64, dtype=np.uint8).reshape(64, 1, 1, 1), labels)
    order = [batch.images.ravel() for batch in islice(train_batches(numbers, 8, 0), 8)]
    (step,) = (i for i, batch in enumerate(order, 1) if 37 in batch)
    assert f"at step {step}" in text
