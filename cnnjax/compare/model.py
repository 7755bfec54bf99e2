"""The gradients of a whole network on its own data, hand-written against stock."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.benchmark.timer import time_in_turns
from cnnjax.compare.gradients import Comparison, compare_gradients
from cnnjax.config import Config
from cnnjax.data import Batch, normalize, train_batches
from cnnjax.data.batches import labeled
from cnnjax.data.tasks import SEGMENTATION
from cnnjax.ops import gradients
from cnnjax.train.machine.numerics import use_backend
from cnnjax.train.run.experiment import Experiment, make_experiment
from cnnjax.train.run.from_data import make_class_order
from cnnjax.train.run.replay import Replay
from cnnjax.train.run.trained import make_run_state
from cnnjax.train.run.training_step import make_train_step
from cnnjax.train.step.pixels import as_pixels
from cnnjax.train.step.state import TrainState

ROUNDS = 15


class Timing(NamedTuple):
    """Median seconds of one gradient of all parameters, hand-written and stock."""

    custom: float
    autodiff: float

    @property
    def ratio(self) -> float:
        """How many times faster the hand-written one is."""
        return self.autodiff / self.custom


class Problem(NamedTuple):
    """A loss with gradients of both kinds, its arguments and its dtype."""

    custom: Any
    autodiff: Any
    params: Any
    x: np.ndarray
    dtype: str = "float32"


def make_problem(config: Config, checkpoint: str | None = None) -> Problem:
    """The loss of the network that ``config`` names on its first training batch.

    Dropout and stochastic depth are left out, because their masks would differ between
    float32 and float64; dropout is compared among the operations. In float64, the loss
    uses neither half precision nor the native backend, whatever the config says: these
    have no float64.

    Args:
        config: of a run; with ``checkpoint``, of the run that wrote it.
        checkpoint: the working directory of a trained run, or one of its checkpoints,
            which the parameters come from; by default, they are the initial ones.

    Raises:
        ConfigError: settings are invalid or do not fit together.
        DataError: the data cannot be read.
        FileNotFoundError: ``checkpoint`` holds no complete state.
    """
    experiment = make_experiment(config)
    state = make_run_state(experiment, config, checkpoint)
    split = experiment.dataset.train
    batches = train_batches(
        split,
        config.batch_size,
        config.seed,
        classes=make_class_order(config, experiment.dataset),
    )
    batch = next(batches)
    x = np.asarray(normalize(batch.images, experiment.normalization))
    return _make_problem(config, experiment, state, batch, x)


def problem_of_step(replayed: Replay) -> Problem:
    """The loss of one step of a run, on the batch as the network saw it."""
    batch = labeled(replayed.inputs.stored, replayed.inputs.labels)
    return _make_problem(
        replayed.config,
        replayed.experiment,
        replayed.before,
        batch,
        replayed.inputs.images,
        replayed.inputs.shares,
    )


def _make_problem(
    config: Config,
    experiment: Experiment,
    state: TrainState,
    batch: Batch,
    x: np.ndarray,
    shares: np.ndarray | None = None,
) -> Problem:
    """The mean loss of a batch, whose network sees ``x``."""
    if experiment.dataset.task == SEGMENTATION:
        batch = as_pixels(batch)
    model: Any = experiment.model
    rates = [name for name in ("dropout", "stochastic_depth") if hasattr(model, name)]
    model = model.clone(**dict.fromkeys(rates, 0.0)) if rates else model
    halved = config.precision != "float32"
    if getattr(model, "axis_name", None):
        model = model.clone(axis_name=None)
    statistics = jax.device_get(state.statistics)
    train_step = make_train_step(config, experiment)

    def loss(params, x):
        is_true = x.dtype == np.float64
        net = model.clone(dtype=None) if is_true and halved else model
        step, key = replace(train_step, model=net), jax.random.key(0)
        with use_backend("auto" if is_true else config.backend):
            value, _ = step.loss(params, x, statistics, batch, key, shares)
        return value / len(batch.labels)

    def stock(params, x):
        with gradients("autodiff"):
            return loss(params, x)

    params = jax.device_get(state.params)
    return Problem(loss, stock, params, x, config.precision)


def compare_problem(problem: Problem) -> Comparison:
    """Compares the gradient of every parameter and of the input."""
    return compare_gradients(
        lambda tree: problem.custom(tree["params"], tree["input"]),
        lambda tree: problem.autodiff(tree["params"], tree["input"]),
        {"params": problem.params, "input": problem.x},
        network=True,
        dtype=jnp.dtype(problem.dtype),
    )


def time_problem(problem: Problem) -> Timing:
    """Times both gradients of the parameters, taking turns."""
    sides = [jax.jit(jax.grad(side)) for side in (problem.custom, problem.autodiff)]
    seconds = time_in_turns(sides, problem.params, problem.x, rounds=ROUNDS)
    return Timing(*np.median(seconds, axis=1).tolist())
