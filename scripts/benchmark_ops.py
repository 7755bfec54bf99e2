"""Times convolutions and max-pooling against JAX's own gradients.

    python scripts/benchmark_ops.py --only "3x3" --out ops.json

Each map of each shape has three variants: ``autodiff`` (the stock operation,
differentiated by JAX), ``xla`` (ours without the CPU kernels) and ``auto`` (ours, with
the CPU kernels if they are built). All are compiled in advance and take turns, so that
other load slows them down equally. Each turn makes two calls and times the second,
because the first wakes up the threads of XLA and oneDNN. A ratio is the median over
rounds of autodiff's time divided by ours: above 1, ours is faster. ``--clock cpu``
counts the seconds of all cores together, which hides waiting but is stable on a busy
machine.
"""

import argparse
import json
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax import ops
from cnnjax.process import keep_freed_memory

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
VARIANTS = {
    "autodiff": ("autodiff", "xla"),
    "xla": ("custom", "xla"),
    "auto": ("custom", "auto"),
}


class Point(NamedTuple):
    """A convolution: shapes of the input and of the kernel, options of ``ops.conv``."""

    x: tuple[int, ...]
    kernel: tuple[int, ...]
    options: Mapping[str, Any] = MappingProxyType({})

    def __str__(self) -> str:
        taps = "x".join(map(str, self.kernel[:-2]))
        options = "".join(f", {name} {value}" for name, value in self.options.items())
        return f"{self.x} -> {self.kernel[-1]}, {taps}{options}"


CONVOLUTIONS = [
    Point((128, 28, 28, 1), (3, 3, 1, 32)),
    Point((128, 14, 14, 32), (3, 3, 32, 64)),
    Point((128, 32, 32, 3), (3, 3, 3, 16)),
    Point((128, 32, 32, 16), (3, 3, 16, 16)),
    Point((128, 16, 16, 32), (3, 3, 32, 32)),
    Point((128, 8, 8, 64), (3, 3, 64, 64)),
    Point((16, 8, 8, 64), (3, 3, 64, 64)),
    Point((32, 56, 56, 64), (3, 3, 64, 64)),
    Point((128, 8, 8, 256), (3, 3, 256, 256)),
    Point((128, 32, 32, 16), (3, 3, 16, 32), {"strides": 2}),
    Point((128, 16, 16, 32), (3, 3, 32, 64), {"strides": 2}),
    Point((16, 112, 112, 3), (7, 7, 3, 64), {"strides": 2}),
    Point((128, 32, 32, 64), (1, 1, 64, 128)),
    Point((128, 32, 32, 64), (1, 1, 64, 128), {"strides": 2}),
    Point((64, 28, 28, 32), (5, 5, 32, 64)),
    Point((64, 32, 32, 32), (3, 3, 32, 32), {"dilation": 2}),
    Point((64, 32, 32, 96), (3, 3, 1, 96), {"groups": 96}),
    Point((16, 16, 16, 64), (3, 3, 16, 64), {"groups": 4}),
    Point((4, 14, 14, 128), (3, 3, 4, 128), {"groups": 32}),
    Point((128, 256, 32), (5, 32, 64)),
    Point((128, 256, 32), (5, 32, 64), {"strides": 2}),
    Point((8, 16, 16, 16, 16), (3, 3, 3, 16, 32)),
    Point((8, 16, 16, 16, 16), (3, 3, 3, 16, 32), {"strides": 2}),
]
HALVES = {"window": 2, "strides": 2}
OVERLAPS = {"window": 3, "strides": 2, "padding": "SAME"}
POOLS = [
    ((128, 28, 28, 32), HALVES),
    ((128, 14, 14, 64), HALVES),
    ((128, 32, 32, 64), HALVES),
    ((128, 16, 16, 128), HALVES),
    ((128, 8, 8, 256), HALVES),
    ((128, 256, 32), HALVES),
    ((8, 16, 16, 16, 32), HALVES),
    ((32, 56, 56, 64), OVERLAPS),
    ((32, 32, 32, 64), OVERLAPS),
]


class Task(NamedTuple):
    """A function to time, its arrays, and how to prepare them."""

    label: str
    function: Callable[..., Any]
    arrays: tuple[jax.Array, ...]
    before: Callable[..., tuple] = lambda *arrays: arrays


def make_tasks() -> Iterator[Task]:
    """All maps of all shapes."""
    for point in CONVOLUTIONS:
        yield from _conv_tasks(point)
    for shape, options in POOLS:
        pool = partial(ops.max_pool, **options)
        x = _normal(shape)
        dy = _normal(jax.eval_shape(pool, x).shape)
        window = "x".join([str(options["window"])] * (len(shape) - 2))
        label = f"max-pool {shape}, {window}"
        yield Task(f"{label}, input gradient", _pullback(pool), (dy, x))
        yield Task(f"{label}, backward pass", _apply, (dy, x), _kept_by(pool))


def _conv_tasks(point):
    def conv(x, kernel):
        return ops.conv(x, kernel, **point.options)

    x, kernel = _normal(point.x), _normal(point.kernel)
    dy = _normal(jax.eval_shape(conv, x, kernel).shape)
    by_x, by_kernel = _pullback(conv), _pullback(lambda k, x: conv(x, k))
    yield Task(f"{point}, forward", conv, (x, kernel))
    yield Task(f"{point}, input gradient", by_x, (dy, x, kernel))
    yield Task(f"{point}, kernel gradient", by_kernel, (dy, kernel, x))


def _pullback(function):
    """The gradient of the first argument, with what it needs of the forward map."""

    def gradient(dy, first, *others):
        _, pull = jax.vjp(lambda first: function(first, *others), first)
        return pull(dy)[0]

    return gradient


def _kept_by(function):
    """Makes the arguments of ``_apply``: the pullback with its residuals, and dy."""

    def pull_and_dy(dy, x):
        return jax.vjp(function, x)[1], dy

    return pull_and_dy


def _apply(function, *arrays):
    return function(*arrays)


def _normal(shape):
    values = np.random.default_rng(0).standard_normal(shape, np.float32)
    return jnp.asarray(values)


def measure(task: Task, rounds: int, clock: Callable[[], float]) -> dict[str, Any]:
    """The median time of each variant in ms, and autodiff's time divided by ours."""
    compiled = {name: _compile(task, *VARIANTS[name]) for name in VARIANTS}
    times = {name: [] for name in compiled}
    for number in range(rounds + 1):  # the first one is a warm-up
        for name in list(compiled)[:: 1 if number % 2 else -1]:
            jax.block_until_ready(compiled[name]())
            start = clock()
            jax.block_until_ready(compiled[name]())
            if number:
                times[name].append(1e3 * (clock() - start))
    row: dict[str, Any] = {"map": task.label}
    row |= {f"{name}_ms": statistics.median(times[name]) for name in times}
    for name in ("xla", "auto"):
        pairs = zip(times["autodiff"], times[name], strict=True)
        row[f"{name}_ratio"] = statistics.median(a / b for a, b in pairs)
    return row


def _compile(task, mode, backend):
    with ops.gradients(mode), ops.backend(backend):
        arrays = task.before(*task.arrays)
        return partial(jax.jit(task.function).lower(*arrays).compile(), *arrays)


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="default: 15")
    parser.add_argument(
        "--only", default="", help="regular expression that selects maps"
    )
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="default: wall")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    args = parser.parse_args()
    keep_freed_memory()  # as the command line does
    print("| map | autodiff, ms | xla, ms | auto, ms | xla, ratio | auto, ratio |")
    print("|---|---|---|---|---|---|")
    rows = []
    for task in make_tasks():
        if re.search(args.only, task.label):
            row = measure(task, args.rounds, CLOCKS[args.clock])
            cells = [f"{value:.2f}" for value in list(row.values())[1:]]
            print(f"| {' | '.join([row['map'], *cells])} |", flush=True)
            rows.append(row)
    if args.out:
        settings = {"rounds": args.rounds, "clock": args.clock, "rows": rows}
        args.out.write_text(json.dumps(settings, indent=1) + "\n")


if __name__ == "__main__":
    main()
