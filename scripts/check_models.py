#!/usr/bin/env python3
"""Checks that networks train, and that their gradients equal autodiff's.

python scripts/check_models.py [MODEL ...] [--step-only] [--batch=4]

Each network (default: all, smallest first) takes one training step on two examples of
its published size. Its gradients are then compared with autodiff, float64 and finite
differences as ``cnnjax compare`` does, on smaller images. The script prints one row of
a table for each network, and fails if one of them does.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from check_exports import make_source

import cnnjax
from cnnjax.benchmark.network_size import published_size
from cnnjax.compare.model import compare_problem, make_problem
from cnnjax.config.files import check_config
from cnnjax.models.catalog import CATALOG
from cnnjax.train.run.segmentation import PER_PIXEL

ONE_STEP = {"duration": "1 steps", "eval_every": "1 steps", "log_every": "1 steps"}


def main() -> int:
    """Prints the table; the status is 1 if a network failed."""
    parser = argparse.ArgumentParser(description="Checks training and gradients.")
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--step-only", action="store_true")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--folder", type=Path, default=Path("runs/check_models"))
    args = parser.parse_args()
    models = args.models or sorted(CATALOG, key=lambda n: published_size(n).parameters)
    print("| model | size | loss of a step | seconds | gradients right | seconds |")
    print("|---|---|---|---|---|---|", flush=True)
    failed = 0
    for name in models:
        row, ok = take_step(name)
        if not args.step_only:
            cells, agrees = compare(name, args.folder, args.batch)
            row, ok = f"{row} {cells}", ok and agrees
        failed += not ok
        print(f"| {name} | {row}", flush=True)
    return int(failed > 0)


def take_step(name: str) -> tuple[str, bool]:
    """Trains on two examples of the published size, with random pixels."""
    entry, random = CATALOG[name], np.random.default_rng(0)
    shape, start = entry.shape, time.perf_counter()
    images = random.integers(0, 256, (2, *shape), np.uint8)
    labeled = images.shape[:-1] if name in PER_PIXEL else 2
    labels = random.integers(0, entry.num_classes, labeled)
    split = cnnjax.data.Split(images, labels)
    data = cnnjax.data.RawDataset(split, split, split, num_classes=entry.num_classes)
    settings = {"model.name": name, "batch_size": 2, "optimizer.learning_rate": 1e-3}
    run = cnnjax.train({**settings, **ONE_STEP}, data=data, progress="none")
    loss = float(run.history["train"]["loss"][-1])
    seconds = time.perf_counter() - start
    size = "x".join(map(str, shape))
    return f"{size} | {loss:.3f} | {seconds:.0f} |", bool(np.isfinite(loss))


def compare(name: str, folder: Path, batch: int) -> tuple[str, bool]:
    """Compares the gradients of all parameters and of the input on digits."""
    settings = {
        "data.source": make_source(name, folder),
        "model.name": name,
        "batch_size": batch,
    }
    start = time.perf_counter()
    comparison = compare_problem(make_problem(check_config(settings)))
    seconds = time.perf_counter() - start
    wrong = [row for row in comparison.rows if not row.ok]
    for row in wrong:
        print(f"{name}: {row.name}: {'; '.join(row.failures)}", file=sys.stderr)
    count = len(comparison.rows)
    return f"{count - len(wrong)} of {count} | {seconds:.0f} |", not wrong


if __name__ == "__main__":
    sys.exit(main())
