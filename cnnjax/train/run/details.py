"""What trackers of experiments show beside the numbers: images, layers, predictions.

Nothing here changes a run: what it computes are programs of their own.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from cnnjax.data.tasks import CLASSIFICATION
from cnnjax.progress import elapsing
from cnnjax.train.machine.compile import make_evaluation
from cnnjax.train.machine.compile_layers import compile_layer_report
from cnnjax.train.machine.processes import is_first
from cnnjax.train.run.evaluation import Evaluation
from cnnjax.train.run.freezing import stage_after
from cnnjax.train.run.inputs import shown_inputs
from cnnjax.train.run.prepare import Run
from cnnjax.train.step.state import TrainState, named_leaves

TRACKERS = ("tensorboard", "wandb", "mlflow")
"""The reporters that show such details."""
EXAMPLES = 16
"""How many training images are shown, and how many of the validation split."""
WITH_LAYERS = (*TRACKERS, "layers")
"""The reporters that show numbers of each layer."""
MOST_CLASSES = 200
"""With more, a confusion matrix would be too large to read."""


def has_tracker(run: Run) -> bool:
    """Whether a reporter of the run shows details; all processes agree on that."""
    return not set(TRACKERS).isdisjoint(run.config.report)


def report_inputs(run: Run) -> None:
    """Reports some images as the network sees them."""
    if has_tracker(run) and is_first():
        config, experiment = run.config, run.experiment
        with elapsing("drawing images"):
            shown = shown_inputs(config, experiment, 1, EXAMPLES)
            normalization = experiment.normalization
            run.reporter.inputs(shown, experiment.dataset, normalization)


def make_layer_report(run: Run) -> Callable[[int, TrainState], None] | None:
    """The function that reports on each layer; ``None`` if no reporter shows that.

    It takes the number of a step and the state before the step.
    """
    if set(WITH_LAYERS).isdisjoint(run.config.report):
        return None
    reports: dict[int, Any] = {}  # by the stage of unfreezing

    def report_layers(step: int, state: TrainState) -> None:
        stage = stage_after(step - 1, run.experiment.lengths)
        if stage not in reports:
            reports[stage] = compile_layer_report(
                run.config, run.experiment, run.devices, stage
            )
        with elapsing("looking at the layers"):
            scalars, gradients = reports[stage](state, run.batch(step))
            if is_first():
                values = {name: float(x) for name, x in jax.device_get(scalars).items()}
                arrays = {}
                if has_tracker(run):
                    arrays |= _named("weights", state.params)
                    arrays |= _named("gradients", gradients)
                run.reporter.layers(step, values, arrays)

    return report_layers


def _named(what: str, tree: Any) -> dict[str, np.ndarray]:
    return {f"{what}/{name}": np.asarray(array) for name, array in named_leaves(tree)}


def report_outputs(run: Run, kind: str, state: TrainState, found: Evaluation) -> None:
    """Reports the predictions of an evaluation.

    A validation keeps them only if a metric needs them, as keeping them could change
    the last digit of its loss. The test is computed once more to have them.

    Args:
        run: whose state it is.
        kind: "validation" or "test".
        state: that was evaluated.
        found: the evaluation.
    """
    dataset, outputs = run.experiment.dataset, found.outputs
    is_small = dataset.task == CLASSIFICATION and dataset.num_classes <= MOST_CLASSES
    if not (has_tracker(run) and is_small):
        return
    if outputs is None and kind == "test":
        config, experiment = run.config, run.experiment
        evaluate = make_evaluation(config, experiment, run.devices, keep_outputs=True)
        outputs = evaluate(state, dataset.test).outputs
    if outputs is not None:
        run.reporter.outputs(kind, int(state.step), outputs, dataset.class_names)
