"""The functions of a run, compiled for the device: its step, its score, its start."""

from collections.abc import Callable
from functools import partial

import jax

from cnnjax.config import Config, ConfigError
from cnnjax.data import Batch, Split
from cnnjax.ops import gradients
from cnnjax.train.evaluation import Score, evaluate
from cnnjax.train.experiment import Experiment
from cnnjax.train.state import TrainState, make_state
from cnnjax.train.step import make_eval_step, make_train_step


def make_start(experiment: Experiment, config: Config) -> TrainState:
    """The state before the first step.

    Raises:
        ConfigError: images that the network cannot take.
    """
    shape = experiment.dataset.train.images.shape[1:]
    averaged = config.average_decay is not None
    make = partial(make_state, experiment.model, experiment.optimizer, shape)
    try:
        return make(config.seed, averaged=averaged)
    except ValueError as error:
        raise ConfigError(
            f"model {config.model.name!r} cannot take images of shape {shape}: {error}"
        ) from error


def make_score(
    config: Config, experiment: Experiment
) -> Callable[[TrainState, Split], Score]:
    """The function that scores a state on a split."""
    eval_step = make_eval_step(
        experiment.model, experiment.loss, experiment.normalization
    )
    largest = max(len(split.labels) for split in experiment.dataset[:3])
    batch_size = min(config.eval_batch_size, largest)
    return partial(evaluate, jax.jit(eval_step), batch_size=batch_size)


def lower_step(
    config: Config, experiment: Experiment, state: TrainState
) -> jax.stages.Lowered:
    """The training step for the device, with the gradients that ``config`` asks for."""
    step = make_train_step(
        experiment.model,
        experiment.optimizer,
        experiment.loss,
        experiment.normalization,
        experiment.schedule,
        crop_padding=config.data.crop_padding,
        flip=config.data.flip,
        freeze=config.freeze,
        average_decay=config.average_decay,
        spike_factor=config.spike_factor,
    )
    with gradients(config.gradients):
        return jax.jit(step, donate_argnums=0).lower(
            state, _batch_shapes(config, experiment)
        )


def _batch_shapes(config, experiment):
    images, labels = experiment.dataset.train
    n = config.batch_size
    return Batch(
        jax.ShapeDtypeStruct((n, *images.shape[1:]), images.dtype),
        jax.ShapeDtypeStruct((n,), labels.dtype),
        jax.ShapeDtypeStruct((n,), "float32"),
    )
