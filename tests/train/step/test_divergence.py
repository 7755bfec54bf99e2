"""Loss spikes: their steps are skipped, and the schedule follows the step count."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnnjax.data import Batch, Normalization
from cnnjax.models import make_model
from cnnjax.optim import make_optimizer, make_schedule
from cnnjax.train.step.divergence import is_spike, update_usual
from cnnjax.train.step.loss import Sums, make_loss
from cnnjax.train.step.state import make_state
from cnnjax.train.step.train_step import Gradients, TrainStep
from tests.support.train.faults import assert_same, leaves


def make_step(spike_factor):
    model = make_model("simple_cnn", num_classes=3, widths=(2,), dense=())
    optimizer = optax.adam(0.01)
    normalization = Normalization(np.zeros(1, np.float32), np.ones(1, np.float32))
    schedule = optax.constant_schedule(0.01)
    loss = make_loss("softmax")
    step = TrainStep(
        model, loss, normalization, optimizer, schedule, spike_factor=spike_factor
    )
    return jax.jit(step), make_state(model, optimizer, (5, 4, 1), seed=0)


def make_batch(scale=1.0):
    draw = np.random.default_rng(0)
    images = draw.normal(size=(6, 5, 4, 1)).astype(np.float32) * scale
    labels = draw.integers(0, 3, 6).astype(np.int32)
    return Batch(images, labels, np.ones(6, np.float32))


def test_a_step_with_a_spike_changes_nothing():
    step, state = make_step(spike_factor=3.0)
    for _ in range(30):
        state, metrics = step(state, make_batch())
        assert metrics.skipped == 0
    after, metrics = step(state, make_batch(scale=1e4))
    assert metrics.skipped == 1
    assert metrics.loss > 3 * state.usual_loss
    assert int(after.step) == int(state.step) + 1
    for name in ("params", "statistics", "opt_state", "average"):
        assert_same(getattr(after, name), getattr(state, name))


@pytest.mark.slow
def test_after_a_skipped_step_the_schedule_goes_by_the_steps_of_the_run():
    """SGD: what a parameter moves by is the rate times its gradient."""
    model = make_model("simple_cnn", num_classes=3, widths=(2,), dense=())
    schedule = make_schedule("cosine", learning_rate=0.1, total_steps=25)
    optimizer = make_optimizer("sgd", schedule, weight_decay=0.1)
    loss, normalization = make_loss("softmax"), Normalization(0.0, 1.0)
    step_function = TrainStep(
        model, loss, normalization, optimizer, schedule, spike_factor=3.0
    )
    state = make_state(model, optimizer, (5, 4, 1), seed=0)
    ones = jax.tree.map(jnp.ones_like, state.params)
    for step in range(25):
        loss = jnp.float32(1e6 if step in (21, 22) else 1.0)
        found = Gradients(Sums(loss, *[jnp.float32(1)] * 3), ones, {})
        after, metrics = step_function.update(state, found)
        assert metrics.skipped == (step in (21, 22))
        rate = float(metrics.learning_rate)
        assert rate == pytest.approx(0.05 * (1 + np.cos(np.pi * step / 25)), rel=1e-5)
        if not metrics.skipped:
            for a, b in zip(leaves(after.params), leaves(state.params), strict=True):
                decay = 0.1 * b if b.ndim > 1 else 0.0
                np.testing.assert_allclose(b - a, rate * (1 + decay), atol=1e-6)
        state = after


@pytest.mark.slow
def test_without_spikes_skipping_changes_no_number():
    (step, state), (plain, other) = make_step(3.0), make_step(None)
    for _ in range(25):
        state, _ = step(state, make_batch())
        other, _ = plain(other, make_batch())
    for a, b in zip(leaves(state.params), leaves(other.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_lasting_rise_becomes_usual():
    usual, skipped = jnp.float32(1.0), 0
    for t in range(100, 400):
        skipped += int(is_spike(jnp.float32(10.0), usual, jnp.int32(t), 2.0))
        usual = update_usual(usual, jnp.float32(10.0), jnp.int32(t), 2.0)
    assert 50 < skipped < 150
    assert usual > 8
