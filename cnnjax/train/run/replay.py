"""Any past step of a run again: its batch, its state, and what each example did.

The order of the data, the crops, the augmentations and dropout are functions of the
seed and the step. So the state before a step is rebuilt from the checkpoint before it
by training the steps between them once more, with the program that trained them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from cnnjax.config import Config
from cnnjax.data import Batch
from cnnjax.data.tasks import SEGMENTATION
from cnnjax.layers.frozen import frozen_layers
from cnnjax.progress import elapsing
from cnnjax.progress import tell as tell_progress
from cnnjax.streams import warn
from cnnjax.train.machine.compile import compile_step, over_devices
from cnnjax.train.machine.devices import BATCH, Devices
from cnnjax.train.machine.numerics import adapt_backend, configured
from cnnjax.train.machine.stop_request import StopRequest
from cnnjax.train.run.experiment import Experiment
from cnnjax.train.run.freezing import stage_after
from cnnjax.train.run.inputs import (
    Inputs,
    Shown,
    check_step,
    count_of,
    describe_augmentation,
    training_inputs,
)
from cnnjax.train.run.prepare import batches_between
from cnnjax.train.run.replay_start import nearest_state, open_run
from cnnjax.train.run.training_step import make_train_step
from cnnjax.train.run.update_size import RECENT, StepUpdates, step_updates
from cnnjax.train.run.workdir import Origin, find_run, read_config
from cnnjax.train.step.example_norms import ExampleNorms, per_example_gradient_norms
from cnnjax.train.step.freezing import inference_layers
from cnnjax.train.step.loss import TrainMetrics
from cnnjax.train.step.pixels import as_pixels
from cnnjax.train.step.state import TrainState, step_key
from cnnjax.train.step.train_step import TrainStep
from cnnjax.typing import Params


class Replay(NamedTuple):
    """One step of a run, rebuilt.

    Attributes:
        step: its number; the first one is 1.
        start: the step of the checkpoint that it was rebuilt from; 0 for the initial
            weights.
        config: of the run.
        experiment: what the config stands for.
        before: the state before the step.
        after: the state after it.
        metrics: of the step, as training reported them.
        gradients: the mean gradient that the optimizer took.
        is_exact: whether the update by these gradients gives the very state after it.
        inputs: the batch as the network saw it.
        norms: of the gradient of each of its examples.
        updates: of up to ten steps that were trained again before it, and its own.
    """

    step: int
    start: int
    config: Config
    experiment: Experiment
    before: TrainState
    after: TrainState
    metrics: TrainMetrics
    gradients: Params
    is_exact: bool
    inputs: Inputs
    norms: ExampleNorms
    updates: list[StepUpdates]

    def shown(self, examples: int) -> Shown:
        """The first examples of the batch, to draw."""
        size = count_of(examples, len(self.inputs.labels))
        heading = f"Step {self.step:,}: {size} of its batch"
        text = describe_augmentation(self.config)
        return Shown(heading, text, self.inputs.first(examples))


def replay(workdir: str | Path, step: int) -> Replay:
    """One step of a trained run, as it was.

    Args:
        workdir: of the run, of which nothing is changed.
        step: number of the step; the first one is 1.

    Raises:
        ConfigError: no run in ``workdir``, no such step, or other devices or data than
            the run was trained with.
        DataError: data that cannot be read.
        CheckpointError: a state of another network or optimizer.
    """
    origin = find_run(workdir, "--workdir")
    config = adapt_backend(read_config(origin.folder), warn)
    devices, experiment = open_run(origin, config)
    check_step(step, experiment)
    return replay_step(origin, config, experiment, devices, step)


def replay_step(
    origin: Origin, config: Config, experiment: Experiment, devices: Devices, step: int
) -> Replay:
    """One step of a run whose parts are there, see ``replay``."""
    state = nearest_state(origin, config, experiment, devices, step - 1)
    start = int(state.step)
    batches = batches_between(config, experiment, start, step)
    steps: dict[int, Any] = {}  # by the stage of unfreezing
    updates: list[StepUpdates] = []
    for number in range(start + 1, step + 1):
        stage = stage_after(number - 1, experiment.lengths)
        if stage not in steps:
            with elapsing("compiling the training step"):
                steps[stage] = compile_step(config, experiment, devices, state, stage)
        batch = next(batches)
        if number == step:
            break
        old = devices.fetch(state)["params"] if number >= step - RECENT else None
        state, metrics, _ = steps[stage](state, batch, StopRequest())
        if old is not None:
            rate, new = metrics.learning_rate, devices.fetch(state)["params"]
            updates.append(step_updates(number, rate, old, new))
        tell_progress("replaying", number - start, step - start - 1, "steps")
    before = TrainState(**devices.fetch(state))
    train_step = make_train_step(config, experiment, stage)
    with_gradients = over_devices(devices, _with_gradients(config, train_step), BATCH)
    (again, _), gradients = jax.device_get(
        with_gradients(state, devices.put_batch(batch))
    )
    norms = make_example_norms(config, train_step, devices)(before, batch)
    state, metrics, _ = steps[stage](state, batch, StopRequest())
    after = TrainState(**devices.fetch(state))
    rate = metrics.learning_rate
    updates.append(step_updates(step, rate, before.params, after.params))
    return Replay(
        step=step,
        start=start,
        config=config,
        experiment=experiment,
        before=before,
        after=after,
        metrics=jax.device_get(metrics),
        gradients=gradients,
        is_exact=_are_same(again, after),
        inputs=training_inputs(config, experiment, step),
        norms=norms,
        updates=updates,
    )


def _with_gradients(config: Config, train_step: TrainStep) -> Any:
    """The function ``(state, batch) -> (state, metrics), gradients``."""

    def step(state, batch):
        with configured(config):
            found = train_step.gradients(state, batch)
        return train_step.update(state, found), train_step.mean_gradients(found)[1]

    return step


def make_example_norms(
    config: Config, train_step: TrainStep, devices: Devices
) -> Callable[[TrainState, Batch], ExampleNorms]:
    """The function that gives those of a whole batch, with the state before its step.

    It takes one part of the batch after the other, as in training. Frozen parameters do
    not count.
    """
    parts = devices.count * config.accumulate_steps
    size = config.batch_size // parts

    @jax.jit
    def norms(state, part, first):
        key = step_key(state.key, state.step)
        frozen = inference_layers(train_step.frozen, state.variables)
        with configured(config), frozen_layers(frozen):
            part, shares, dropout_key = train_step.inputs(part, key, first)
            if train_step.task == SEGMENTATION:
                part = as_pixels(part)
            return per_example_gradient_norms(
                train_step.model,
                state.variables,
                part.images,
                lambda logits: (
                    train_step.losses(logits, part, shares).reshape(size, -1).sum(1)
                ),
                train=True,
                rngs={"dropout": dropout_key},
            )

    def whole(state: TrainState, batch: Batch) -> ExampleNorms:
        found = [
            norms(state, jax.tree.map(lambda x: x[i : i + size], batch), i)  # noqa: B023
            for i in range(0, parts * size, size)
        ]
        joined = jax.tree.map(lambda *arrays: np.concatenate(arrays), *found)
        trained = {
            name: norms
            for name, norms in joined.parameters.items()
            if not train_step.frozen.covers(name)
        }
        total = np.linalg.norm([*trained.values()], axis=0)
        return joined._replace(total=total, parameters=trained)

    return whole


def _are_same(a: TrainState, b: TrainState) -> bool:
    """Whether two states are equal, bit for bit."""
    return all(
        np.asarray(x).tobytes() == np.asarray(y).tobytes()
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )
