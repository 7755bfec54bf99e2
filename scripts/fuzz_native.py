"""Compares random convolutions of the CPU kernels with NumPy, in their check mode.

``python scripts/fuzz_native.py --problems=5000 --seed=0`` prints every wrong result,
every problem that crashed its process, and a summary; the status is 1 if there were
any.

Each chunk of problems runs in its own process, with one or two threads, and with AVX2
or (if the CPU has it) AVX-512 instructions, without and with those for bfloat16. Values
are small integers, so float32 sums are exact in any order, and results must be equal.
"""

import argparse
import itertools
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.native import conv, library
from cnnjax.typing import Window

AT_ONCE = 25  # problems per program: compiling costs more than running
LARGEST = {1: 40, 2: 14, 3: 7}  # largest size of an axis, by number of axes
HAS_AVX512 = "avx512bw" in Path("/proc/cpuinfo").read_text()


class Problem(NamedTuple):
    """A convolution with bias: shapes as in ``cnnjax.ops.conv``."""

    number: int
    dtype: str
    x: tuple[int, ...]
    kernel: tuple[int, ...]
    window: Window
    relu: bool


def make_problem(seed: int, number: int) -> Problem:
    """Makes the problem with this number, which has at least one output position."""
    rng = np.random.default_rng((seed, number))
    dtype = "bfloat16" if rng.random() < (0.5 if HAS_AVX512 else 0.1) else "float32"
    while True:
        rank = int(rng.choice([1, 2, 3], p=[0.3, 0.55, 0.15]))
        taps = [int(k) for k in rng.integers(1, 6 - rank // 2, rank)]
        if rng.random() < 0.2:
            taps = [1] * rank
        strides = [int(s) for s in rng.choice([1, 1, 2, 2, 3, 4], rank)]
        dilation = [int(d) for d in rng.choice([1, 1, 1, 2, 3], rank)]
        lowest = -2 if rng.random() < 0.05 else 0
        reach = [(k - 1) * d for k, d in zip(taps, dilation, strict=True)]
        sides = rng.integers(lowest, np.array(reach)[:, None] + 2, (rank, 2))
        padding = [(int(low), int(high)) for low, high in sides]
        if rng.random() < 0.3:
            padding = [(0, 0)] * rank
        groups, inputs, outputs = _channels(rng)
        sizes = [int(n) for n in rng.integers(1, LARGEST[rank] + 1, rank)]
        window = Window(
            tuple(strides), tuple(padding), tuple(dilation), (1,) * rank, groups
        )
        x = (int(rng.integers(1, 5)), *sizes, inputs * groups)
        kernel = (*taps, inputs, outputs * groups)
        kept = [
            n + min(low, 0) + min(high, 0)
            for n, (low, high) in zip(sizes, padding, strict=True)
        ]
        if min(*kept, *conv.output_shape(x, kernel, window)) > 0:
            return Problem(number, dtype, x, kernel, window, bool(rng.integers(2)))


def _channels(rng):
    inputs, outputs = (int(c) for c in rng.integers(1, 41, 2))
    kind = rng.choice(["one", "some", "each"], p=[0.7, 0.15, 0.15])
    if kind == "one":
        return 1, inputs, outputs
    if kind == "each":
        return inputs, 1, int(rng.choice([1, 1, 2]))
    return int(rng.integers(2, 5)), max(1, inputs // 3), max(1, outputs // 3)


def make_arrays(seed: int, problem: Problem) -> list[np.ndarray]:
    """Makes x, kernel, bias and dy: integers from -2 to 2."""
    rng = np.random.default_rng((seed, problem.number, 1))
    y = conv.output_shape(problem.x, problem.kernel, problem.window)
    shapes = problem.x, problem.kernel, problem.kernel[-1:], y
    return [rng.integers(-2, 3, shape).astype(np.float64) for shape in shapes]


def expected_maps(problem: Problem, x, kernel, bias, dy) -> dict[str, np.ndarray]:
    """Computes the three maps in float64, tap by tap."""
    window = problem.window
    added = [(max(low, 0), max(high, 0)) for low, high in window.padding]
    padded = np.pad(x, [(0, 0), *added, (0, 0)])
    kept = tuple(
        slice(max(-low, 0), size - max(-high, 0))
        for size, (low, high) in zip(padded.shape[1:-1], window.padding, strict=True)
    )
    padded = padded[(slice(None), *kept)]
    y, dx, dkernel = np.zeros(dy.shape), np.zeros(padded.shape), np.zeros(kernel.shape)
    inputs, outputs = problem.kernel[-2], problem.kernel[-1] // window.groups
    dy_rows = dy.reshape(-1, window.groups, outputs)
    for tap in itertools.product(*map(range, problem.kernel[:-2])):
        seen = tuple(
            slice(k * d, k * d + (n - 1) * s + 1, s)
            for k, d, n, s in zip(
                tap, window.dilation, dy.shape[1:-1], window.strides, strict=True
            )
        )
        place = (slice(None), *seen)
        rows = padded[place].reshape(-1, window.groups, inputs)
        weights = kernel[tap].reshape(inputs, window.groups, outputs)
        y += np.einsum("ngi,igo->ngo", rows, weights).reshape(y.shape)
        back = np.einsum("ngo,igo->ngi", dy_rows, weights)
        dx[place] += back.reshape(dx[place].shape)
        product = np.einsum("ngi,ngo->igo", rows, dy_rows)
        dkernel[tap] = product.reshape(dkernel[tap].shape)
    whole = np.zeros(
        [n + p + q for n, (p, q) in zip(x.shape[1:-1], added, strict=True)]
    )
    whole = np.zeros((len(x), *whole.shape, x.shape[-1]))
    whole[(slice(None), *kept)] = dx
    inner = tuple(
        slice(low, low + n) for n, (low, _) in zip(x.shape[1:-1], added, strict=True)
    )
    y = y + bias
    y = np.maximum(y, 0) if problem.relu else y
    dx = whole[(slice(None), *inner)]
    return {"forward": y, "input_gradient": dx, "kernel_gradient": dkernel}


def native_maps(problem: Problem, x, kernel, bias, dy) -> dict[str, jax.Array]:
    """Computes the maps that the compiled library offers for the problem."""
    shapes = problem.x, problem.kernel, problem.window, problem.dtype
    window, sizes, taps = problem.window, problem.x[1:-1], problem.kernel[:-2]
    calls = {
        "forward": lambda: conv.forward(x, kernel, window, bias, problem.relu),
        "input_gradient": lambda: conv.input_gradient(dy, kernel, window, sizes),
        "kernel_gradient": lambda: conv.kernel_gradient(x, dy, window, taps),
    }
    has = {name: conv.find(name, *shapes).implementation for name in conv.MAPS}
    return {name: call() for name, call in calls.items() if has[name]}


def run_problems(seed: int, problems: list[Problem], counts: Counter) -> list[str]:
    """Checks some problems in one program; returns a sentence per wrong result."""
    arrays = [make_arrays(seed, problem) for problem in problems]
    given = [
        [jax.device_put(a.astype(jnp.dtype(problem.dtype))) for a in each]
        for problem, each in zip(problems, arrays, strict=True)
    ]

    def program(given):
        return [native_maps(p, *each) for p, each in zip(problems, given, strict=True)]

    results = jax.jit(program)(given)
    wrong = []
    for problem, each, found in zip(problems, arrays, results, strict=True):
        expected = expected_maps(problem, *each)
        counts["computed"] += len(found)
        counts["refused"] += len(expected) - len(found)
        for name, actual in found.items():
            if not _is_right(np.asarray(actual, np.float64), expected[name], problem):
                wrong.append(describe(problem, name))
    return wrong


def _is_right(actual, expected, problem):
    if problem.dtype == "float32":
        return np.array_equal(actual, expected)
    scale = np.abs(expected).max(initial=1)
    return bool(np.all(np.abs(actual - expected) <= scale / 64))  # false for NaN


def describe(problem: Problem, name: str) -> str:
    """One line: the map, the problem, and the implementation that computes it."""
    found = conv.find(name, problem.x, problem.kernel, problem.window, problem.dtype)
    return f"{name} ({found.name or found.reason}) of {problem}"


def work(seed: int, numbers: range, at_once: int) -> None:
    """Runs problems in this process, and prints lines for the parent process."""
    assert library.status().library is not None, library.status().reason
    counts: Counter = Counter()
    for first in range(numbers.start, numbers.stop, at_once):
        print("at", first, flush=True)
        last = min(first + at_once, numbers.stop)
        problems = [make_problem(seed, number) for number in range(first, last)]
        for sentence in run_problems(seed, problems, counts):
            print("wrong", sentence, flush=True)
    print("counts", counts["computed"], counts["refused"], flush=True)


def settings() -> Iterator[dict[str, str]]:
    """Numbers of threads and instruction sets for successive chunks."""
    isas = ["AVX2", "AVX512_CORE", "AVX512_CORE_BF16"] if HAS_AVX512 else ["AVX2"]
    for isa, threads in itertools.cycle(itertools.product(isas, "12")):
        yield {"ONEDNN_MAX_CPU_ISA": isa, "OMP_NUM_THREADS": threads}


def run_chunk(
    seed: int, numbers: range, environment: dict[str, str]
) -> tuple[list[str], Counter]:
    """Runs a chunk; after a crash, runs the problems one by one without the culprit."""
    wrong: list[str] = []
    counts: Counter = Counter()
    start, at_once = numbers.start, AT_ONCE
    while start < numbers.stop:
        words = f"--seed={seed} --from={start} --to={numbers.stop} --at-once={at_once}"
        done = subprocess.run(
            [sys.executable, __file__, *words.split()],
            env={**os.environ, **environment, "CNNJAX_NATIVE_CHECK": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        last = start
        for line in done.stdout.splitlines():
            word, _, rest = line.partition(" ")
            if word == "at":
                last = int(rest)
            elif word == "wrong":
                wrong.append(rest)
            elif word == "counts":
                computed, refused = map(int, rest.split())
                counts += Counter(computed=computed, refused=refused)
        if done.returncode == 0:
            break
        if at_once == 1:
            problem = make_problem(seed, last)
            error = done.stderr.strip().splitlines()[-1:] or [""]
            wrong.append(f"status {done.returncode} after {problem}: {error[0][:300]}")
            last += 1
        start, at_once = last, 1
    return wrong, counts


def main() -> None:
    """Runs all chunks, or one of them in a child process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--problems", type=int, default=5000, help="default: 5000")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument(
        "--chunk", type=int, default=250, help="problems per process; default: 250"
    )
    parser.add_argument("--from", dest="first", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--to", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--at-once", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.first is not None:
        return work(args.seed, range(args.first, args.to), args.at_once)
    count, total = 0, Counter()
    chunks = math.ceil(args.problems / args.chunk)
    for chunk, environment in zip(range(chunks), settings(), strict=False):
        first = chunk * args.chunk
        numbers = range(first, min(first + args.chunk, args.problems))
        wrong, counts = run_chunk(args.seed, numbers, environment)
        for sentence in wrong:
            print(environment, sentence, flush=True)
        count, total = count + len(wrong), total + counts
        print(f"{numbers.stop} problems: {count} wrong", flush=True)
    print(
        f"{total['computed']} maps computed, {total['refused']} refused, {count} wrong"
    )
    sys.exit(count > 0)


if __name__ == "__main__":
    main()
