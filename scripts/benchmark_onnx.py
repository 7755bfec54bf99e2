#!/usr/bin/env python3
"""Compares the speed of onnxruntime and of cnnjax, for one trained run.

Usage: scripts/benchmark_onnx.py WORKDIR FILE.onnx [N]

Both predict the same random images, in batches of N (default 64), and take turns. The
times are medians of 25 turns; the ratio is the median over turns, with its quartiles.
"""

import sys
import time

import numpy as np

import cnnjax
from cnnjax.inference.export import open_exported

TURNS = 25


def main() -> None:
    """Prints one line."""
    workdir, file, *rest = sys.argv[1:]
    trained, exported = cnnjax.load(workdir), open_exported(file)
    count = int(rest[0]) if rest else 64
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *trained.image_shape))
    images = images.astype(trained.description.image_dtype)
    functions = trained.logits, exported.run
    for _ in range(3):
        for function in functions:
            function(images)
    seconds = np.array([[measure(f, images) for f in functions] for _ in range(TURNS)])
    ours, theirs = np.median(seconds, axis=0) * 1e3
    ratios = seconds[:, 0] / seconds[:, 1]
    low, ratio, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    print(
        f"{count} images: cnnjax {ours:.2f} ms, onnxruntime {theirs:.2f} ms,"
        f" {ratio:.2f} times as fast ({low:.2f} to {high:.2f})"
    )


def measure(function, images) -> float:
    """The seconds that one call takes."""
    start = time.perf_counter()
    function(images)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
