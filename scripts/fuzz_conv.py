"""Compares random convolutions with NumPy in float64, in processes that may crash.

    python scripts/fuzz_conv.py [--problems=1000] [--first=0] [--chunk=25] [--jobs=2]

Each problem has a random dtype, rank, shape, padding (including asymmetric and negative
padding), strides, dilations and groups. y, dx and dw are checked for all backends and
for JAX's own differentiation. A process computes a chunk of problems. If it crashes,
the script names the problem that crashed it, and another process computes the rest of
the chunk. Status 1 means that a value was wrong or a process crashed.

1,000 problems take 10 minutes on one core of a Xeon.
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = str(Path(__file__).parents[1])
# The tests are found after the installed package, which has the compiled kernels.
PROGRAM = """\
import sys
sys.path.append(sys.argv[1])
from tests.support.ops.conv import fuzz
fuzz.main(*map(int, sys.argv[2:]))
"""
# Programs run once, so optimizing their machine code takes longer than it saves.
ENVIRONMENT = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "JAX_PLATFORMS": "cpu"}
SECONDS = 120  # time limit per problem


def run_chunk(first: int, stop: int) -> list[str]:
    """One line per failure among the problems from ``first`` to ``stop``."""
    wrong = []
    while first < stop:
        numbers = str(first), str(stop - first)
        command = [sys.executable, "-P", "-c", PROGRAM, ROOT, *numbers]
        try:
            done = subprocess.run(
                command,
                env={**os.environ, **ENVIRONMENT},
                capture_output=True,
                text=True,
                timeout=SECONDS * (stop - first),
            )
            output, end = done.stdout, f"status {done.returncode}"
            reason = done.stderr.strip().splitlines()[-1:] if done.returncode else []
        except subprocess.TimeoutExpired as error:
            output, end, reason = (error.stdout or b"").decode(), "a time limit", []
        lines = output.splitlines()
        wrong += [line for line in lines if line.startswith("wrong:")]
        started = [line for line in lines if not line.startswith("wrong:")]
        if end == "status 0":
            break
        culprit = started[-1] if started else f"{first} before its first line"
        wrong.append(f"died: {culprit} with {end} {' '.join(reason)}")
        first = int(culprit.split()[0]) + 1
    return wrong


def main() -> int:
    """Runs the chunks and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--problems", type=int, default=1000, help="how many; default: 1000")
    add("--first", type=int, default=0, help="number of the first one; default: 0")
    add("--chunk", type=int, default=25, help="problems per process; default: 25")
    add("--jobs", type=int, default=2, help="processes at a time; default: 2")
    args = parser.parse_args()
    stop = args.first + args.problems
    starts = range(args.first, stop, args.chunk)
    count = 0
    with ThreadPoolExecutor(args.jobs) as pool:
        ends = [min(start + args.chunk, stop) for start in starts]
        for start, wrong in zip(starts, pool.map(run_chunk, starts, ends), strict=True):
            count += len(wrong)
            print(
                *wrong, f"{start + args.chunk - args.first} done", sep="\n", flush=True
            )
    print(f"{args.problems} problems, {count} faults")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
