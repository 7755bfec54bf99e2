"""``cnnjax sweep``, top to bottom: plan, check, train, and write the table."""

import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from cnnjax.errors import ConfigError
from cnnjax.files import write_whole
from cnnjax.report.html.numbers import value_text as metric_text
from cnnjax.streams import printable
from cnnjax.sweep import table
from cnnjax.sweep.choices import Choices, Interval, parse_sets
from cnnjax.sweep.outcome import FAILED, FINISHED, PRUNED, read_outcome
from cnnjax.sweep.page import make_page
from cnnjax.sweep.plan import PlannedRun, find_monitor, plan_grid
from cnnjax.sweep.train_runs import (
    OUTPUT,
    Events,
    train_command,
    train_runs,
    was_stopped,
)
from cnnjax.train.run.folder_name import check_name
from cnnjax.train.run.lock import lock
from cnnjax.train.run.metrics import Monitor
from cnnjax.train.run.workdir import CONFIG

WHERE = f"what each run prints is in its {OUTPUT}"
MOST_REPORTED = 5
"""Runs in the command that is proposed at the end."""


class Request(NamedTuple):
    """What the command line asks for.

    Attributes:
        config: the config file.
        overrides: texts of settings that all runs share.
        sets: the words of ``--set``.
        folder: of the sweep.
        jobs: how many runs train at a time.
    """

    config: str
    overrides: Mapping[str, str]
    sets: Sequence[str]
    folder: Path
    jobs: int = 1


class Sweep:
    """A sweep while it runs: what it has trained, and what it tells.

    Args:
        request: of the command line.
        monitor: the metric that decides.
        tell: takes a line for people.
        count: how many runs there are.
    """

    def __init__(
        self,
        request: Request,
        monitor: Monitor,
        tell: Callable[[str], None],
        count: int,
    ):
        self.folder, self.monitor = request.folder, monitor
        self.tell, self.count = tell, count

    def row(self, run: PlannedRun) -> table.Row:
        """A run with its outcome so far."""
        outcome = read_outcome(run, self.folder / run.name, self.monitor)
        return table.Row(run, outcome)

    def started(self, run: PlannedRun) -> None:
        """Tells that a run started."""
        self.tell(f"{self._place(run)} training")

    def ended(self, run: PlannedRun, status: int) -> None:
        """Tells how a run ended."""
        row = self.row(run)
        text = row.outcome.state
        if was_stopped(status) and text != PRUNED:
            text = "stopped" if status < 0 else "stopped; its state is saved"
        elif text == FAILED:
            text = f"failed: {printable(row.outcome.reason)}"
        elif row.outcome.best:
            value = metric_text(row.value(self.monitor), self.monitor.name)
            text += f": validation {self.monitor.name} {value}"
        self.tell(f"{self._place(run)} {text}")

    def _place(self, run: PlannedRun) -> str:
        return f"[{run.number + 1}/{self.count}] {run.name}"


def sweep_grid(request: Request, tell: Callable[[str], None]) -> int:
    """Trains all combinations that are not finished, and writes the table.

    Returns:
        The exit status: 0 if all runs are finished, 1 if one is not, and 128 plus its
        number for a signal.

    Raises:
        ConfigError: a setting or a folder that cannot be used, before any run starts.
    """
    runs, monitor = plan(request)
    sweep = Sweep(request, monitor, tell, len(runs))
    with lock(request.folder):
        rows = [sweep.row(run) for run in runs]
        waiting = [row.run for row in rows if row.outcome.state != FINISHED]
        tell(f"{describe(rows)}; {WHERE}")
        never = Events(sweep.started, lambda run: False, sweep.ended)
        stopped = train_runs(
            iter(waiting), request.folder, request.config, never, request.jobs
        )
        return finish(sweep, [sweep.row(run) for run in runs], stopped)


def list_grid(request: Request, tell: Callable[[str], None]) -> int:
    """Tells the number, the name and the state of each run, and trains nothing."""
    runs, monitor = plan(request)
    sweep = Sweep(request, monitor, tell, len(runs))
    rows = [sweep.row(run) for run in runs]
    texts = [["number", "run", "state", f"validation {monitor.name}"]]
    for row in rows:
        value = metric_text(row.outcome.best.get(monitor.name), monitor.name)
        texts.append([str(row.run.number), row.run.name, row.outcome.state, value])
    for line in table.lines(texts):
        tell(line)
    tell(
        f"as a Slurm array: sbatch --array=0-{len(runs) - 1} scripts/sweep_array.sbatch"
    )
    return 0


def become(request: Request, number: int) -> NoReturn:
    """Becomes the ``cnnjax train`` of one run, in this process.

    Raises:
        ConfigError: no such run.
    """
    runs, _ = plan(request)
    if not 0 <= number < len(runs):
        raise ConfigError(
            f"--only is {number}, expected 0 to {len(runs) - 1}: the sweep has"
            f" {len(runs)} runs"
        )
    words = train_command(runs[number], request.folder, request.config)
    sys.stdout.flush()
    os.execv(words[0], words)


def plan(request: Request) -> tuple[list[PlannedRun], Monitor]:
    """The runs of a grid, checked, and the metric that decides.

    Raises:
        ConfigError: a setting or a folder that cannot be used.
    """
    check_sweep_folder(request.folder)
    choices: list[Choices] = []
    for each in parse_sets(request.sets, [*request.overrides]):
        if isinstance(each, Interval):
            raise ConfigError(
                f"--set {each.name} is an interval, which a grid cannot list; add"
                " --search=random or --search=tpe, or write values with commas"
            )
        choices.append(each)
    runs = plan_grid(request.config, request.overrides, choices)
    for run in runs:
        check_name(request.folder / run.name)
    return runs, find_monitor(runs[0].config)


def check_sweep_folder(folder: Path) -> None:
    """Refuses the working directory of a run as the folder of a sweep.

    Raises:
        ConfigError: it holds a run.
    """
    if os.path.lexists(folder / CONFIG):
        raise ConfigError(
            f"workdir {folder} holds a run, expected a folder for a sweep, in which"
            " each run gets a folder of its own; give another --workdir"
        )


def describe(rows: Sequence[table.Row]) -> str:
    """How many runs there are, and in which states."""
    states = [row.outcome.state for row in rows]
    counts = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
    return f"{len(rows)} runs" + (f": {counts}" if counts else "")


def finish(sweep: Sweep, rows: Sequence[table.Row], stopped: int | None) -> int:
    """Writes the table, tells it and what to do next, and returns the exit status."""
    monitor, folder, tell = sweep.monitor, sweep.folder, sweep.tell
    write_whole(folder / "sweep.json", table.to_json(rows, monitor))
    write_whole(folder / "sweep.csv", table.to_csv(rows, monitor))
    title = f"Sweep {folder.absolute().name}"
    write_whole(folder / "sweep.html", make_page(title, rows, monitor))
    for each in (table.run_table(rows, monitor), table.group_table(rows, monitor)):
        if len(each) > 1:
            for line in ["", *table.lines(each)]:
                tell(line)
    tell("")
    for row in rows:
        if row.outcome.state == FAILED:
            tell(f"failed: {row.run.name}: {printable(row.outcome.reason)}")
    names = [folder / f"sweep.{kind}" for kind in ("csv", "json", "html")]
    files = ", ".join(map(printable, names))
    tell(f"the table is in {files}")
    best = [r for r in table.sort_rows(rows, monitor) if r.outcome.state == FINISHED]
    if len(best) > 1:
        paths = [shlex.quote(str(folder / r.run.name)) for r in best[:MOST_REPORTED]]
        tell(f"to compare the best: cnnjax report {' '.join(paths)}")
    if stopped is not None:
        name = signal.Signals(stopped).name
        tell(
            f"Stopped by {name}: {len(best)} of {sweep.count} runs are finished; rerun"
            " the same command to resume."
        )
        return 128 + stopped
    done = (FINISHED, PRUNED)
    return 0 if all(row.outcome.state in done for row in rows) else 1
