"""The report on each layer, compiled for the devices of a run."""

from collections.abc import Callable
from typing import Any

import jax

from cnnjax.config import Config
from cnnjax.data import Batch
from cnnjax.train.machine.compile import over_devices
from cnnjax.train.machine.devices import BATCH, Devices
from cnnjax.train.machine.numerics import configured
from cnnjax.train.run.experiment import Experiment
from cnnjax.train.run.training_step import make_train_step
from cnnjax.train.step.layer_report import (
    LayerReport,
    measure_activations,
    report_layers,
)
from cnnjax.train.step.state import TrainState


def compile_layer_report(
    config: Config, experiment: Experiment, devices: Devices, stage: int = 0
) -> Callable[[TrainState, Batch], LayerReport]:
    """The function ``(state, batch) -> report``, which is compiled when it is called.

    It takes the state before a step, and this process's share of the step's batch.

    Args:
        config: checked settings.
        experiment: what they stand for.
        devices: where it runs.
        stage: of unfreezing.
    """
    train_step = make_train_step(config, experiment, stage)

    def look(state, batch):
        with configured(config):
            activations = measure_activations(train_step, state, batch)
            return train_step.gradients(state, batch), activations

    def report(state, batch):
        return report_layers(train_step, state, *look(state, batch))

    if devices.shards_optimizer:
        look = over_devices(devices, look, BATCH)

        def sharded_report(state, batch):  # see step_on_devices
            found = look(state._replace(opt_state=()), batch)
            return report_layers(train_step, state, *found)

        compiled: Any = jax.jit(sharded_report)
    else:
        compiled = over_devices(devices, report, BATCH)
    return lambda state, batch: compiled(state, devices.put_batch(batch))
