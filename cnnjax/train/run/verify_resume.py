"""Proof that a resumed run equals an uninterrupted one.

One run trains without a stop; another is killed and resumed. Each part is a process of
its own, so that whatever differs between processes (a config that reads the clock, data
in another order, sums of a device that vary) is found.
"""

import hashlib
import json
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnjax.config.files import load_config
from cnnjax.errors import ConfigError
from cnnjax.json_file import parse_json
from cnnjax.train.step.state import TrainState, named_leaves
from cnnjax.typing import Reporter

SAVES_PER_PIECE = 3
Hashes = dict[str, str]  # by the name of the array
Part = dict[int, Hashes]  # by step: those that one process took


class Difference(NamedTuple):
    """The first step after which two runs differ, and the first array that does."""

    step: int
    leaf: str


def verify_resume(
    path: str,
    overrides: Mapping[str, str],
    *,
    steps: int = 30,
    pieces: int = 3,
    reporter: Reporter,
    tell: Callable[[str], None] = print,
) -> bool:
    """Trains without a stop and in pieces, and compares the states of each step.

    Args:
        path: a config file.
        overrides: changes to its settings, as texts.
        steps: how long the run is.
        pieces: processes that the second run takes; all but the last are killed.
        reporter: receives the metrics of both runs, in their processes.
        tell: takes a sentence for people.

    Returns:
        Whether all states are equal, bit for bit.

    Raises:
        ConfigError: invalid settings, or a run that fails.
    """
    if not 2 <= pieces <= steps:
        raise ConfigError(
            f"--pieces is {pieces} and --steps {steps}, expected 2 pieces or more and"
            " at least as many steps"
        )
    changes = dict(overrides) | _short_run(steps, pieces)
    load_config(path, changes)
    with tempfile.TemporaryDirectory(prefix="cnnjax-verify-") as folder:
        whole = _run_part(path, changes, reporter, Path(folder) / "whole", None)
        tell(f"whole run: steps {_range(whole)}")
        for number in range(1, pieces + 1):
            last = number == pieces
            end = None if last else -(-number * steps // pieces)
            part = _run_part(path, changes, reporter, Path(folder) / "pieces", end)
            tell(f"piece {number}: steps {_range(part)}{'' if last else ', killed'}")
            found = first_difference(whole, part)
            if found:
                tell(
                    f"the states differ first after step {found.step}, at {found.leaf}:"
                    " a resumed run is not the same run"
                )
                return False
    tell(_certificate(whole, pieces))
    return True


def first_difference(whole: Part, part: Part) -> Difference | None:
    """The first step of ``part`` whose state is not that of ``whole``, if any."""
    for step in sorted(part):
        ours, theirs = whole.get(step, {}), part[step]
        for leaf in {**ours, **theirs}:
            if ours.get(leaf) != theirs.get(leaf):
                return Difference(step, leaf)
    return None


def hash_state(state: TrainState) -> Hashes:
    """A hash of each array: its dtype, shape and bytes."""
    hashes = {}
    for name, leaf in named_leaves(state._asdict()):
        array = np.ascontiguousarray(leaf)
        head = f"{array.dtype}{array.shape}".encode()
        hashes[name] = hashlib.sha256(head + array.tobytes()).hexdigest()
    return hashes


def _short_run(steps: int, pieces: int) -> dict[str, str]:
    every = max(1, steps // (pieces * SAVES_PER_PIECE))
    return {
        "duration": f"{steps} steps",
        "eval_every": f"{max(1, steps // 2)} steps",
        "log_every": f"{steps} steps",
        "checkpoint.every": f"{every} steps",
        "deterministic": "true",
    }


def _run_part(path, changes, reporter, workdir: Path, end: int | None) -> Part:
    """Trains in a process of its own, which kills itself after step ``end``."""
    log = workdir.with_suffix(".log")
    log.unlink(missing_ok=True)
    process = multiprocessing.get_context("spawn").Process(
        target=_train, args=(path, changes, reporter, workdir, log, end)
    )
    process.start()
    process.join()
    lines = log.read_text().splitlines() if log.exists() else []
    records = [parse_json(line) for line in lines]
    if records and "error" in records[-1]:
        raise ConfigError(records[-1]["error"])
    if process.exitcode != (0 if end is None else -signal.SIGKILL):
        raise ConfigError(f"training ended with exit status {process.exitcode}")
    return {record["step"]: record["hashes"] for record in records}


def _train(path, changes, reporter, workdir: Path, log: Path, end) -> None:
    """What the process does: trains, and writes the hashes of each state."""
    from cnnjax.train.run.loop import train

    with log.open("w") as file:

        def write(record: Mapping[str, Any]) -> None:
            file.write(json.dumps(record) + "\n")
            file.flush()

        def watch(state: TrainState) -> None:
            step = int(state.step)
            write({"step": step, "hashes": hash_state(state)})
            if step == end:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            train(load_config(path, changes), workdir, reporter, watch_state=watch)
        except Exception as error:
            write({"error": str(error)})


def _range(part: Part) -> str:
    return f"{min(part)} to {max(part)}" if part else "none"


def _certificate(whole: Part, pieces: int) -> str:
    last = max(whole)
    arrays = whole[last]
    total = hashlib.sha256("".join(arrays.values()).encode()).hexdigest()
    return (
        f"certificate: in {pieces} pieces, after each of {last} steps, the"
        f" {len(arrays)} arrays of the state are those of the whole run, bit for bit\n"
        f"state after step {last}: sha256 {total}"
    )
