#!/usr/bin/env python3
"""Compares the speed of onnxruntime and of cnnjax, for one trained run.

Usage: scripts/benchmark_onnx.py WORKDIR FILE.onnx [FILE.onnx ...] [N]

All predict the same random images, in batches of N (default 64), and take turns. The
times are medians of 25 turns; the ratio of each file to cnnjax is the median over
turns, with its quartiles.
"""

import sys
import time

import numpy as np

import cnnjax
from cnnjax.inference.export import open_exported

TURNS = 25


def main() -> None:
    """Prints one line for each file."""
    workdir, *files = sys.argv[1:]
    count = int(files.pop()) if files[-1].isdigit() else 64
    trained = cnnjax.load(workdir)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *trained.image_shape))
    images = images.astype(trained.description.image_dtype)
    functions = [trained.logits, *(open_exported(file).run for file in files)]
    for _ in range(3):
        for function in functions:
            function(images)
    seconds = np.array([[measure(f, images) for f in functions] for _ in range(TURNS)])
    ours, *theirs = np.median(seconds, axis=0) * 1e3
    for file, milliseconds, taken in zip(files, theirs, seconds.T[1:], strict=True):
        low, ratio, high = np.quantile(seconds[:, 0] / taken, [0.25, 0.5, 0.75])
        print(
            f"{file}, {count} images: cnnjax {ours:.2f} ms, onnxruntime"
            f" {milliseconds:.2f} ms, {ratio:.2f} times as fast ({low:.2f} to"
            f" {high:.2f})"
        )


def measure(function, images) -> float:
    """The seconds that one call takes."""
    start = time.perf_counter()
    function(images)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
