"""What a step of a run takes with several steps per call.

    python scripts/benchmark_calls.py --config=FILE [--config.KEY=VALUE ...]

Each round trains once with each of ``--steps-per-call``, in turn. A run logs the mean
time of a step over 200 steps, three times; the first line, which starts with no batch
ready, does not count.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from cnnjax.config.files import load_config
from cnnjax.process import keep_freed_memory
from cnnjax.train.run.loop import train
from cnnjax.typing import Reporter

LENGTHS = {"duration": "600 steps", "eval_every": "600 steps", "log_every": "200 steps"}


class StepSeconds(Reporter):
    """Keeps the mean times of a step."""

    def __init__(self):
        self.seconds: list[float] = []

    def log(self, record):
        """Takes the time from a line of training metrics."""
        if record["kind"] == "train":
            self.seconds.append(record["step_seconds"])


def measure(config_file: str, settings: dict[str, str]) -> list[float]:
    """Seconds per step of one run, one number per log line."""
    reporter = StepSeconds()
    with tempfile.TemporaryDirectory() as folder:
        train(load_config(config_file, settings), Path(folder) / "run", reporter)
    return reporter.seconds[1:]


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--config", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps-per-call", default="1,10,50")
    options, rest = parser.parse_known_args()
    words = (word.removeprefix("--config.").partition("=") for word in rest)
    settings = LENGTHS | {name: value for name, _, value in words}
    seconds: dict[str, list[float]] = {n: [] for n in options.steps_per_call.split(",")}
    keep_freed_memory()
    for _ in range(options.rounds):
        for steps, found in seconds.items():
            found += measure(options.config, settings | {"steps_per_call": steps})
    base = statistics.median(next(iter(seconds.values())))
    for steps, found in seconds.items():
        median = statistics.median(found)
        print(
            f"{steps:>4} steps per call: {1000 * median:.2f} ms per step"
            f" ({1000 * min(found):.2f} to {1000 * max(found):.2f}, n = {len(found)}),"
            f" {base / median:.2f} times as fast"
        )


if __name__ == "__main__":
    main()
