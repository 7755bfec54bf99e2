"""Metrics of a network on the devices of this process, or of many: a program.

    metrics_on_devices.py OUT KIND [COORDINATOR N I]

It writes the test score and the outputs for several batch sizes to the file OUT, in
each process with its number added.
"""

import sys
from pathlib import Path

import numpy as np

from cnnjax.config.files import load_config
from cnnjax.train.machine import processes, shutdown
from cnnjax.train.machine.compile import make_evaluation, make_initial_state
from cnnjax.train.machine.devices import make_devices
from cnnjax.train.run.experiment import make_experiment
from tests.support.train.steps_on_devices import DIGITS, make_settings

METRICS = (
    "top2",
    "log_loss",
    "balanced_accuracy",
    "macro_f1",
    "auc",
    "average_precision",
    "calibration_error",
)
SIZES = (4, 12, 100)  # the test split has 40 examples


def score(folder, kind, size):
    """The score, and what it was computed from."""
    settings = make_settings(folder, 1, False, False)
    settings |= {"metrics": repr(METRICS), "eval_batch_size": str(size)}
    config = load_config(DIGITS, settings)
    experiment, devices = make_experiment(config), make_devices(kind)
    state = devices.put_state(make_initial_state(experiment, config))
    return make_evaluation(config, experiment, devices)(state, experiment.dataset.test)


def arrays(folder, kind):
    """What the program writes, by size."""
    found = {}
    for size in SIZES:
        value, outputs = score(folder, kind, size)
        found[f"values {size}"] = [*value[:3], *value.metrics.values()]
        found[f"logits {size}"] = outputs.logits
        found[f"labels {size}"] = outputs.labels
        found[f"losses {size}"] = outputs.losses
    return found


if __name__ == "__main__":
    out, kind, *place = sys.argv[1:]
    if place:
        launch = processes.Launch(place[0], int(place[1]), int(place[2]))
        processes.join(launch)
        out += place[2]
    with shutdown.leave_together(), open(f"{out}.npz", "wb") as file:
        np.savez(file, **arrays(Path(out).parent, kind))
