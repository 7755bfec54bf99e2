"""A small data set with class names, and the settings of a small run."""

from pathlib import Path

import numpy as np

import cnnjax
from cnnjax.data import RawDataset, Split

SETTINGS = {
    "model": {"name": "simple_cnn", "widths": (8,), "dense": (16,)},
    "optimizer": {"name": "adam", "learning_rate": 3e-3},
    "duration": "30 steps",
    "eval_every": "10 steps",
    "batch_size": 32,
    "report": ("terminal", "jsonl"),
}
NAMES = ("cat", "dog", "owl")


def make_split(n=90, seed=0, shape=(9, 7, 3)):
    """Images whose mean tells their class."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    noise = random.integers(0, 80, (n, *shape))
    return Split((noise + 80 * labels.reshape(-1, 1, 1, 1)).astype(np.uint8), labels)


def train_small(workdir: Path) -> cnnjax.TrainedRun:
    """A run on images of 9 x 7 pixels in color, of three classes with names."""
    data = RawDataset(make_split(), class_names=NAMES)
    return cnnjax.train(SETTINGS, data=data, workdir=workdir, progress="none")
