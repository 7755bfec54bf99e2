"""Metrics of a network on the devices of this process, or of many: a program.

    metrics_on_devices.py OUT KIND [COORDINATOR N I]

It writes the test score and the outputs for several batch sizes to the file OUT, in
each process with its number added.
"""

import sys
from pathlib import Path

import numpy as np

from cnnjax.config.files import load_config
from cnnjax.data.augmentation import make_variants
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
AUGMENT = ("flip", "shift(2)")
SIZES = (4, 12, 100)  # the test split has 40 examples


def score(folder, kind, size, augment=()):
    """The score, and what it was computed from."""
    settings = make_settings(folder, 1, False, False)
    settings |= {"metrics": repr(METRICS), "eval_batch_size": str(size)}
    config = load_config(DIGITS, settings)
    experiment, devices = make_experiment(config), make_devices(kind)
    state = devices.put_state(make_initial_state(experiment, config))
    variants = make_variants(augment)
    evaluation = make_evaluation(config, experiment, devices, variants=variants)
    return evaluation(state, experiment.dataset.test)[:2]


def arrays(folder, kind):
    """What the program writes, by size."""
    found = {}
    for size in SIZES:
        value, outputs = score(folder, kind, size)
        found[f"values {size}"] = [*value[:3], *value.metrics.values()]
        found[f"logits {size}"] = outputs.logits
        found[f"labels {size}"] = outputs.labels
        found[f"losses {size}"] = outputs.losses
    value, outputs = score(folder, kind, SIZES[1], AUGMENT)
    found["augmented values"] = [*value[:3], *value.metrics.values()]
    found["augmented logits"] = outputs.logits
    return found


if __name__ == "__main__":
    out, kind, *place = sys.argv[1:]
    if place:
        launch = processes.Launch(place[0], int(place[1]), int(place[2]))
        processes.join(launch)
        out += place[2]
    with shutdown.leave_together(), open(f"{out}.npz", "wb") as file:
        np.savez(file, **arrays(Path(out).parent, kind))
