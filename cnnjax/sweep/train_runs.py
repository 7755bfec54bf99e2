"""Trains runs as processes of their own, some at a time, and passes signals on."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cnnjax.files import open_regular
from cnnjax.sweep.outcome import FAILED, PRUNED, remove_note, write_note
from cnnjax.sweep.plan import PlannedRun
from cnnjax.train.machine.signals import SIGNALS

OUTPUT = "output.txt"
"""In the working directory of a run: what ``cnnjax train`` printed."""

POLL_SECONDS = 0.1
LAST_BYTES = 10_000
MEMORY_FRACTION = 0.75
"""Of a GPU's memory that JAX takes by default; runs on the same GPU share it."""

_ERROR = "cnnjax: error: "


class Started(NamedTuple):
    """A run that is training."""

    run: PlannedRun
    process: subprocess.Popen
    is_pruned: bool = False


class Events(NamedTuple):
    """What is called while runs train.

    Attributes:
        started: with each run that starts.
        prunes: with each run, ten times per second; whether to stop it early.
        ended: with each run that ended, and its exit status: negative for a signal
            that killed it, and 0 if it finished.
    """

    started: Callable[[PlannedRun], None]
    prunes: Callable[[PlannedRun], bool]
    ended: Callable[[PlannedRun, int], None]


def train_runs(
    runs: Iterator[PlannedRun],
    folder: Path,
    config: str,
    events: Events,
    jobs: int = 1,
) -> int | None:
    """Trains runs, ``jobs`` at a time; a run that fails does not stop the others.

    Each run is ``cnnjax train`` in a process of its own. With several jobs on a machine
    with GPUs, each sees one GPU. Signals that ask to stop are passed on to the runs,
    which save their states; no other run starts then.

    Args:
        runs: asked for the next run whenever a job is free.
        folder: of the sweep; the working directories of the runs are in it.
        config: the config file.
        events: what to call.
        jobs: how many runs train at a time.

    Returns:
        The number of the signal that stopped the sweep; ``None`` without one.
    """
    running: dict[int, Started] = {}
    gpus = list_gpus(os.environ) if jobs > 1 else []
    passed_on, is_over = 0, False
    with _receive() as received:
        while True:
            for number in received[passed_on:]:
                passed_on += 1
                for each in running.values():
                    each.process.send_signal(number)
            for slot, each in list(running.items()):
                status = each.process.poll()
                if status is not None:
                    del running[slot]
                    _note(each, status, folder / each.run.name)
                    events.ended(each.run, status)
                elif not each.is_pruned and events.prunes(each.run):
                    running[slot] = each._replace(is_pruned=True)
                    each.process.send_signal(signal.SIGTERM)
            while not received and not is_over and len(running) < jobs:
                run = next(runs, None)
                is_over = run is None
                if run is not None:
                    slot = next(n for n in range(jobs) if n not in running)
                    environment = os.environ | share_gpus(gpus, slot, jobs, os.environ)
                    running[slot] = _start(run, folder, config, environment)
                    events.started(run)
            if not running and (received or is_over):
                return received[0] if received else None
            time.sleep(POLL_SECONDS)


def train_command(run: PlannedRun, folder: Path, config: str) -> list[str]:
    """The words that train a run.

    Args:
        run: as planned.
        folder: of the sweep.
        config: the config file.
    """
    settings = [f"--config.{name}={text}" for name, text in run.overrides.items()]
    train = [sys.executable, "-P", "-m", "cnnjax", "train"]
    return [*train, f"--config={config}", f"--workdir={folder / run.name}", *settings]


def list_gpus(environment: Mapping[str, str]) -> list[str]:
    """The names of the NVIDIA GPUs that a process may use, without loading JAX.

    Args:
        environment: with ``CUDA_VISIBLE_DEVICES``, if that is set.
    """
    if environment.get("JAX_PLATFORMS") == "cpu":
        return []
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        return [name for name in names if name not in ("", "-1", "NoDevFiles")]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        lines = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=60, check=True
        ).stdout.splitlines()
        return [str(n) for n in range(sum(line.startswith("GPU ") for line in lines))]
    return []


def share_gpus(
    gpus: Sequence[str], slot: int, jobs: int, environment: Mapping[str, str]
) -> dict[str, str]:
    """The variables with which a job uses its GPU; jobs take them in turn.

    Args:
        gpus: of this machine.
        slot: number of the job, below ``jobs``.
        jobs: how many train at a time.
        environment: whose limit of the memory stays, if it has one.
    """
    if not gpus:
        return {}
    found = {"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)]}
    share = -(-jobs // len(gpus))
    limit = "XLA_PYTHON_CLIENT_MEM_FRACTION"
    if share > 1 and limit not in environment:
        found[limit] = f"{MEMORY_FRACTION / share:.3f}"
    return found


def was_stopped(status: int) -> bool:
    """Whether an exit status means that a signal asked the run to stop."""
    return status in [128 + n for n in SIGNALS] or status in [-n for n in SIGNALS]


def _start(
    run: PlannedRun, folder: Path, config: str, environment: Mapping[str, str]
) -> Started:
    workdir = folder / run.name
    workdir.mkdir(parents=True, exist_ok=True)
    remove_note(workdir)
    with open_regular(workdir / OUTPUT, "ab", follow_links=False) as output:
        # In its own session, so that Ctrl-C reaches it only through this process.
        process = subprocess.Popen(
            train_command(run, folder, config),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )
    return Started(run, process)


def _note(started: Started, status: int, workdir: Path) -> None:
    """Notes in the working directory why a run is not finished."""
    if started.is_pruned and was_stopped(status):
        write_note(workdir, PRUNED, "")
    elif status and not was_stopped(status):
        write_note(workdir, FAILED, _find_reason(workdir / OUTPUT, status))


def _find_reason(output: Path, status: int) -> str:
    """The last error that a run printed, or how it ended."""
    with open_regular(output, follow_links=False) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    told = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
    if told:
        return told[-1]
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}; see {output}"


@contextlib.contextmanager
def _receive() -> Iterator[list[int]]:
    """The signals that came, instead of their usual effect."""
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in SIGNALS
        if not (number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN)
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
