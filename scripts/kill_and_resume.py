"""Kills training runs with SIGKILL, again and again, and checks that nothing is lost.

    python scripts/kill_and_resume.py --kills=200 [--streamed] [--seed=0]

First, one run trains without interruption. Then the same command is started and killed
again and again: during a save, during an evaluation, at its start, while it writes a
file, or at any moment. Each process must resume from the newest complete checkpoint on
disk, and write nothing to stderr. A finished run must have the same checkpoints as the
uninterrupted one, bit for bit, and the same validations and test score, each exactly
once; then a new run begins. The first failure stops the script with status 1.

With --kills=200, on 2 cores of a Xeon that was also running other work:

    in memory           121 kills within a save, 30 within an evaluation, 547 s
    streamed, --seed=1  118 kills within a save, 37 within an evaluation, 400 s

Every resume worked, no step before the last save was lost, and the final parameters of
all 12 runs were bit-equal to those of the uninterrupted run.
"""

import argparse
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import jax
import numpy as np

from cnnjax.data.sources.digits import load_digits
from cnnjax.report import read_metrics
from cnnjax.train.run.checkpoint import Checkpoints

ROOT = Path(__file__).parents[1]
TMP = r".*-checkpoint-tmp.*"  # Orbax's name for a save in progress
CHAINS = 2  # runs at a time: a starting process keeps one core busy
SETTINGS = {
    "data.crop_padding": 1,
    "data.flip": "true",
    "average_decay": 0.99,
    "early_stopping.patience": 1000,
    "duration": "200 steps",
    "eval_every": "20 steps",
    "log_every": "10 steps",
    "checkpoint.every": "7 steps",
    "checkpoint.keep_every": "50 steps",
}
AIMS = [  # moments to kill, each with a maximum delay in seconds
    ("the start", 3.0),
    ("a save", 0.03),
    ("any moment", 1.0),
    ("a save", 0.03),
    ("an evaluation", 0.02),
    ("a save", 0.03),
    ("a file", 0.001),
]
FILES = ".lock checkpoints normalization.json data.json config.json metrics.jsonl"


class Failure(Exception):
    """A broken promise of exact resume."""


class Training:
    """One process of a run, with its output in files next to the run's folder."""

    def __init__(self, run: Path, words: list[str]):
        self.run, self.begin = run, time.monotonic()
        self.out, self.err = run.with_suffix(".out"), run.with_suffix(".err")
        command = [sys.executable, "-m", "cnnjax", "train", f"--workdir={run}"]
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                [*command, *words], cwd=ROOT, stdout=out, stderr=err
            )

    def wait(self, holds=lambda: False) -> None:
        """Waits until a condition holds or the process has ended."""
        while self.process.poll() is None and not holds():
            if time.monotonic() - self.begin > 300:
                self.process.kill()
                raise Failure(f"{self.run} has not ended after 300 s")
            time.sleep(0.001)

    def find(self, pattern: str) -> list:
        """All matches in the output."""
        return re.findall(pattern, self.out.read_text())

    def is_compiled(self) -> bool:
        """Whether the step is compiled, so that training can start."""
        return bool(self.find("step compiled"))

    def is_evaluating(self) -> bool:
        """Whether the last line is that of a step that validation follows."""
        lines = self.find(r"(?m)^(\w+) +step +(\d+)/")
        return bool(lines) and lines[-1][0] == "train" and int(lines[-1][1]) % 20 == 0

    def saves(self, pattern: str) -> list[str]:
        """The checkpoint folders whose names match."""
        names = [path.name for path in self.run.glob("checkpoints/*")]
        return [name for name in names if re.fullmatch(pattern, name)]

    def aim(self, at: str, seconds: float, draw: np.random.Generator) -> None:
        """Waits for the moment to kill the process."""
        if at == "a file":
            path = self.run / draw.choice(FILES.split())
            before = _written(path)
            self.wait(lambda: _written(path) != before)
        elif at != "the start":
            self.wait(self.is_compiled)
        if at == "a save":
            seen, count = set(), draw.integers(1, 5)
            self.wait(lambda: seen.update(self.saves(TMP)) or len(seen) >= count)
        elif at == "an evaluation":
            self.wait(self.is_evaluating)
        end = time.monotonic() + draw.uniform(0, seconds)
        self.wait(lambda: time.monotonic() >= end)

    def check(self, newest: int | None) -> None:
        """Whether it was quiet, and resumed from the ``newest`` checkpoint."""
        err, status = self.err.read_text(), self.process.returncode
        if err or status not in (0, -signal.SIGKILL):
            raise Failure(f"{self.run} ended with status {status} and said: {err}")
        steps = self.find(r"resuming after step (\d+)")
        if self.is_compiled() and steps != [str(newest)] * (newest is not None):
            raise Failure(f"{self.run} resumed after {steps}; on disk was {newest}")


def _written(path: Path) -> int:
    """When a file was last written; 0 if there is no file."""
    return path.stat().st_mtime_ns if path.exists() else 0


def read_end(run: Path) -> dict:
    """Everything that must be equal in two runs, by name."""
    records = read_metrics(run / "metrics.jsonl")
    end = {
        "metrics.jsonl": Counter((r["kind"], r["step"]) for r in records),
        "a score": [r | {"seconds": 0} for r in records if r["kind"] != "train"],
    }
    checkpoints = Checkpoints(run / "checkpoints", read_only=True)
    for step in checkpoints.steps():
        arrays, notes = checkpoints.restore(None, step) or ({}, {"progress": {}})
        progress = notes["progress"]
        progress["seconds"] = 0
        if progress.get("interval"):  # sums must be equal, times need not be
            progress["interval"][1:3] = 0, 0
            progress["interval"][4] = 0
        end[f"the notes of step {step}"] = notes
        for path, leaf in jax.tree_util.tree_leaves_with_path(arrays):
            x = np.asarray(leaf)
            name = f"{jax.tree_util.keystr(path)} of step {step}"
            end[name] = x.dtype, x.shape, x.tobytes()
    checkpoints.close()
    return end


class Campaign:
    """Chains of killed runs, and counts of what happened so far."""

    def __init__(self, folder: Path, words: list[str]):
        self.folder, self.words = folder, words
        self.counts, self.lock, self.failed = Counter(), Lock(), False
        training = Training(folder / "whole", words)
        training.wait()
        training.check(None)
        self.whole, self.begin = read_end(training.run), time.monotonic()

    def run_chain(self, number: int, kills: int, seed: int) -> None:
        """Runs one after another; after ``kills`` kills, lets the last one finish."""
        draw, runs = np.random.default_rng([seed, number]), 0
        try:
            while runs == 0 or kills:
                run = self.folder / f"chain{number}-run{runs}"
                kills, runs = self.run_once(run, kills, draw), runs + 1
        except BaseException:
            self.failed = True
            raise

    def run_once(self, run: Path, kills: int, draw: np.random.Generator) -> int:
        """One run, killed until it finishes; returns the number of kills left."""
        newest = None
        while not self.failed:
            training = Training(run, self.words)
            training.aim(*AIMS[kills % len(AIMS)], draw) if kills else training.wait()
            training.process.kill()
            training.process.wait()
            training.check(newest)
            newest = max(map(int, training.saves(r"\d+")), default=None)
            if training.process.returncode == 0:
                self.check_end(run)
                return kills
            self.count(training)
            kills -= 1
        return 0

    def check_end(self, run: Path) -> None:
        """Checks a finished run against the uninterrupted one, then deletes it."""
        with self.lock:
            end = read_end(run)
            for name, value in self.whole.items():
                if end.get(name) != value:
                    raise Failure(f"{name} in {run} is not that of the undisturbed run")
            self.counts["runs at their end"] += 1
        shutil.rmtree(run)

    def count(self, killed: Training) -> None:
        """Counts a kill by where it hit, and reports after every tenth."""
        began = killed.is_compiled()
        with self.lock:
            self.counts["kills"] += 1
            self.counts["before the first step"] += not began
            self.counts["within a save"] += began and bool(killed.saves(TMP))
            self.counts["within an evaluation"] += killed.is_evaluating()
            if self.counts["kills"] % 10 == 0:
                texts = [f"{count:3} {name}" for name, count in self.counts.items()]
                seconds = time.monotonic() - self.begin
                print(f"{', '.join(texts)}, {seconds:.0f} s", flush=True)


def kill_and_resume(folder: Path, kills: int, streamed: bool, seed: int) -> Counter:
    """Runs everything in an empty folder and returns the counts."""
    settings = dict(SETTINGS)
    if streamed:
        images, labels = load_digits().train
        np.savez(folder / "digits.npz", images=images[:], labels=labels)
        settings |= {"data.source": f"npz:{folder}/digits.npz", "data.streaming": True}
    words = [f"--config.{name}={value}" for name, value in settings.items()]
    campaign = Campaign(folder, ["--config=configs/digits.py", *words])
    shares = [(kills + number) // CHAINS for number in range(CHAINS)]
    with ThreadPoolExecutor(CHAINS) as pool:
        list(pool.map(campaign.run_chain, range(CHAINS), shares, [seed] * CHAINS))
    return campaign.counts


def main() -> None:
    """Reads the command line, runs, and prints the result."""
    parser = argparse.ArgumentParser(
        description="Kills runs again and again, and checks that nothing is lost."
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--streamed", action="store_true", help="stream images")
    parser.add_argument("--seed", type=int, default=0, help="determines when to kill")
    parser.add_argument("--workdir", type=Path, help="a new folder, which is kept")
    args = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")  # leaves an accelerator to the runs
    folder = args.workdir or Path(tempfile.mkdtemp(prefix="kill_and_resume-"))
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=not args.workdir)
    try:
        counts = kill_and_resume(folder, args.kills, args.streamed, args.seed)
    except Failure as failure:
        sys.exit(f"FAILED: {failure}\nlook into {folder}")
    print(
        f"{counts['kills']} kills, {counts['within a save']} of them within a save:"
        " every resume worked, no step was lost beyond the last save, final parameters"
        " bit-equal"
    )
    if not args.workdir:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
