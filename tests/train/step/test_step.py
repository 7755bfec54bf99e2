"""The training and evaluation steps: against plain JAX, lowered for every platform."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen

from cnnjax.data import Batch, Normalization, Split, normalize
from cnnjax.models import make_model
from cnnjax.ops import backend
from cnnjax.train.machine.compile import lower_step
from cnnjax.train.machine.devices import make_devices
from cnnjax.train.run.evaluation import evaluate
from cnnjax.train.run.experiment import make_experiment
from cnnjax.train.run.trained import make_run_state
from cnnjax.train.step.eval_step import EvalStep
from cnnjax.train.step.loss import LossOptions, make_loss
from cnnjax.train.step.state import count_parameters, make_state
from cnnjax.train.step.train_step import TrainStep

SHAPE = (9, 7, 2)
NORMALIZATION = Normalization(
    np.array([100.0, 120.0], np.float32), np.array([50.0, 60.0], np.float32)
)
SCHEDULE = optax.constant_schedule(0.1)


class Stock(linen.Module):
    """The network of ``simple_cnn`` with widths (3,), written with Flax alone."""

    @linen.compact
    def __call__(self, x, train):
        x = linen.relu(linen.Conv(3, (3, 3))(x))
        x = linen.max_pool(x, (2, 2), (2, 2)).reshape(len(x), -1)
        x = linen.Dropout(0.0, deterministic=not train)(linen.relu(linen.Dense(5)(x)))
        return linen.Dense(4)(x)


class WithBatchNorm(linen.Module):
    """A network with variables that are not trained."""

    @linen.compact
    def __call__(self, x, train):
        x = linen.BatchNorm(use_running_average=not train, momentum=0.5)(x)
        return linen.Dense(4)(x.mean((1, 2)))


def make_batch(n, seed=0, weights=None):
    draw = np.random.default_rng(seed)
    return Batch(
        draw.integers(0, 256, (n, *SHAPE), np.uint8),
        draw.integers(0, 4, n).astype(np.int32),
        np.ones(n, np.float32) if weights is None else weights,
    )


def make(optimizer, model=None, smoothing=0.0, **augmentation):
    model = model or make_model("simple_cnn", num_classes=4, widths=(3,), dense=(5,))
    loss = make_loss("softmax", LossOptions(smoothing))
    step = TrainStep(model, loss, NORMALIZATION, optimizer, SCHEDULE, **augmentation)
    return step, make_state(model, optimizer, SHAPE, seed=0)


def stock_loss(params, batch):
    logits = Stock().apply(
        {"params": params}, normalize(batch.images, NORMALIZATION), train=False
    )
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels)
    return (losses * batch.weights).sum() / batch.weights.sum()


@pytest.mark.slow
@pytest.mark.parametrize("weights", [None, np.array([1, 1, 0, 1, 0], np.float32)])
def test_a_step_is_gradient_descent_on_the_stock_loss(weights):
    step, state = make(optax.sgd(0.1))
    batch = make_batch(5, weights=weights)
    loss, grads = jax.value_and_grad(stock_loss)(state.params, batch)
    after, metrics = jax.jit(step)(state, batch)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, state.params, grads)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        dict(after.params),
        dict(expected),
    )
    np.testing.assert_allclose(metrics.loss, loss, rtol=1e-6)
    np.testing.assert_allclose(metrics.gradient_norm, optax.tree.norm(grads), rtol=1e-5)
    assert int(after.step) == 1
    assert float(metrics.learning_rate) == pytest.approx(0.1)


@pytest.mark.slow
def test_randomness_is_a_function_of_seed_and_step():
    model = make_model("simple_cnn", num_classes=4, widths=(3,), dropout=0.5)
    step, state = make(optax.sgd(0.0), model, crop_padding=2, flip=True)
    step, batch = jax.jit(step), make_batch(5)
    first, metrics = step(state, batch)
    assert step(state, batch)[1].loss == metrics.loss
    assert step(first, batch)[1].loss != metrics.loss


def test_statistics_are_updated_in_training_only():
    optimizer = optax.sgd(0.1)
    step, state = make(optimizer, WithBatchNorm())
    after, _ = jax.jit(step)(state, make_batch(6))
    old, new = (s.statistics["batch_stats"]["BatchNorm_0"] for s in (state, after))
    assert (np.asarray(old["mean"]) != np.asarray(new["mean"])).all()
    loss = make_loss("softmax")
    score = jax.jit(EvalStep(WithBatchNorm(), loss, NORMALIZATION))(
        after, make_batch(6)
    )
    assert score.count == 6


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 7, 23, 50])
def test_evaluation_counts_each_example_once(batch_size):
    _, state = make(optax.sgd(0.1))
    images, labels, _ = batch = make_batch(23, seed=1)
    model = make_model("simple_cnn", num_classes=4, widths=(3,), dense=(5,))
    eval_step = EvalStep(model, make_loss("softmax"), NORMALIZATION)
    score = evaluate(
        jax.jit(eval_step), state, Split(images, labels), batch_size, make_devices()
    ).score
    logits = Stock().apply(
        {"params": state.params}, normalize(images, NORMALIZATION), train=False
    )
    assert score.examples == 23
    assert score.accuracy == (np.asarray(logits).argmax(-1) == labels).mean()
    assert score.loss == pytest.approx(float(stock_loss(state.params, batch)))


@pytest.mark.slow
def test_padding_that_gives_nan_does_not_count():
    model = make_model("simple_cnn", num_classes=4, widths=(3,), dense=(5,))
    _, state = make(optax.sgd(0.1))
    batch = make_batch(3, weights=np.array([1, 1, 0], np.float32))
    images = batch.images.astype(np.float32)
    images[2] = np.nan
    eval_step = EvalStep(model, make_loss("softmax"), NORMALIZATION)
    score = eval_step(state, batch._replace(images=images))
    assert np.isfinite(score.loss)
    assert score.count == 2


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_the_step_lowers_for_every_platform(platform):
    model = make_model("lenet5", num_classes=4, dropout=0.5)
    optimizer = optax.adamw(1e-3)
    loss = make_loss("softmax", LossOptions(0.1))
    step = TrainStep(
        model, loss, NORMALIZATION, optimizer, SCHEDULE, crop_padding=2, flip=True
    )
    state = make_state(model, optimizer, (28, 28, 2), seed=0)
    batch = make_batch(4)._replace(images=jnp.zeros((4, 28, 28, 2), jnp.uint8))
    with backend("xla"):  # a program for CPUs with custom calls stays here
        exported = jax.export.export(jax.jit(step), platforms=[platform])(state, batch)
    assert exported.platforms == (platform,)
    assert "convolution" in exported.mlir_module()


@pytest.mark.parametrize(("kind", "stock"), [("custom", False), ("autodiff", True)])
def test_the_kind_of_gradients_is_that_of_the_config(kind, stock, small_config):
    config = small_config(gradients=kind)
    experiment = make_experiment(config)
    devices = make_devices()
    state = devices.put_state(make_run_state(experiment, config))
    text = lower_step(config, experiment, devices, state).as_text()
    assert ("select_and_scatter" in text) is stock


def test_sigmoid_loss_is_the_mean_of_questions():
    logits = jnp.array([[2.0, -1.0, 0.5]])
    value = make_loss("sigmoid")(logits, jnp.array([0]))
    targets = jnp.array([[1.0, 0.0, 0.0]])
    expected = optax.sigmoid_binary_cross_entropy(logits, targets).mean()
    np.testing.assert_allclose(value, [expected], rtol=1e-6)


def test_parameters_are_counted():
    _, state = make(optax.sgd(0.1))
    assert count_parameters(state.params) == 3 * 19 + 5 * (36 + 1) + 4 * 6
