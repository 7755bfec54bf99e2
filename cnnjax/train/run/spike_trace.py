"""Why a loss was a spike: the examples and the layer where it began."""

from typing import Any

import jax
import numpy as np

from cnnjax.progress import elapsing
from cnnjax.train.run.first_failure import name_example
from cnnjax.train.run.freezing import stage_after
from cnnjax.train.run.inputs import train_batches_at
from cnnjax.train.run.prepare import Run
from cnnjax.train.run.replay import make_example_norms
from cnnjax.train.run.training_step import make_train_step
from cnnjax.train.step.example_norms import ExampleNorms
from cnnjax.train.step.state import TrainState

MOST = 3
"""Spikes that one process traces, so that training is not slowed."""

_LISTED = 2  # examples with the largest losses
_LARGER = 3  # times the outputs for the batch before: such a layer is named


class SpikeTrace:
    """Tells why the loss of a step was a spike, in sentences; reads the state only.

    It runs the step's batch, and that of the step before, through the network with the
    weights at hand, those after the call that took the step, or after the next call.

    Args:
        run: whose steps are traced.
    """

    def __init__(self, run: Run):
        self._run = run
        self._traced = 0

    def __call__(self, step: int, state: TrainState) -> str:
        """What is known about a step; empty beyond three, or with several processes.

        Args:
            step: its number.
            state: after the call that took it, or after the next call.
        """
        self._traced += 1
        if self._traced > MOST or jax.process_count() > 1:
            return ""
        try:
            with elapsing("tracing the spike"):
                return _describe(self._run, step, state)
        except Exception as failure:  # training matters more
            return f"the cause is unknown, because tracing it failed: {failure}"


def _describe(run: Run, step: int, state: TrainState) -> str:
    config, experiment = run.config, run.experiment
    stage = stage_after(step - 1, experiment.lengths)
    train_step = make_train_step(config, experiment, stage)
    example_norms = make_example_norms(config, train_step, run.devices)
    batches = train_batches_at(config, experiment, step - 1, 2)
    host = TrainState(**run.devices.fetch(state))
    before, norms = (
        example_norms(host._replace(step=np.int32(step - 2 + i)), batches[i])
        for i in range(2)
    )
    numbers, _ = batches.examples(1)
    return f"{_largest(run, numbers, norms)}; {_first_layer(before, norms)}"


def _largest(run: Run, numbers: Any, norms: ExampleNorms) -> str:
    """Names the examples with the largest losses."""
    worst = np.argsort(-norms.losses, kind="stable")[:_LISTED]
    named = [
        f"{name_example(run.experiment.dataset, int(numbers[i]), int(i))} (loss"
        f" {norms.losses[i]:.4g}, gradient norm {norms.total[i]:.4g})"
        for i in worst
    ]
    return (
        f"the largest losses are those of {' and '.join(named)}; the median is"
        f" {np.median(norms.losses):.4g}"
    )


def _first_layer(before: ExampleNorms, norms: ExampleNorms) -> str:
    """Names the first layer whose outputs are larger than for the batch before."""
    for name, sizes in norms.outputs.items():
        usual = float(np.max(before.outputs[name]))
        if (largest := float(np.max(sizes))) > _LARGER * usual:
            return (
                "the first layer with larger outputs than in the step before is"
                f" {name}: {largest:.4g}, not {usual:.4g}"
            )
    return (
        "no layer has much larger outputs than in the step before, so look at the"
        " labels of these examples"
    )
