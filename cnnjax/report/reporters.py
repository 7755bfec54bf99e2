"""The reporters of a training run, and several as one."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnjax.errors import ConfigError
from cnnjax.report.callbacks import Callback, CallbackReporter
from cnnjax.report.metrics_file import MetricsFile, check_records
from cnnjax.report.terminal import make_terminal_reporter
from cnnjax.streams import warn
from cnnjax.train.machine.processes import is_first
from cnnjax.typing import Reporter

METRICS = "metrics.jsonl"


class Reporters:
    """Several reporters as one: each call goes to all of them, in order.

    Args:
        *reporters: in the order in which they are called.
    """

    def __init__(self, *reporters: Reporter):
        self._reporters = reporters

    def start(self, info: Mapping[str, Any]) -> None:
        """Tell all reporters about the run."""
        for reporter in self._reporters:
            reporter.start(info)

    def rewind(self, step: int) -> None:
        """Tell all reporters that later steps will be repeated."""
        for reporter in self._reporters:
            reporter.rewind(step)

    def step(self, record: Mapping[str, Any]) -> None:
        """Tell all reporters about one training step."""
        for reporter in self._reporters:
            reporter.step(record)

    def log(self, record: Mapping[str, Any]) -> None:
        """Give all reporters the metrics of some training steps or of an evaluation."""
        for reporter in self._reporters:
            reporter.log(record)

    def message(self, text: str) -> None:
        """Give all reporters a sentence for people."""
        for reporter in self._reporters:
            reporter.message(text)

    def progress(self, task: str, done: int, total: int | None, unit: str) -> None:
        """Tell all reporters how far long work is."""
        for reporter in self._reporters:
            reporter.progress(task, done, total, unit)

    def checkpoint(self, step: int, folder: str) -> None:
        """Tell all reporters that a checkpoint is complete."""
        for reporter in self._reporters:
            reporter.checkpoint(step, folder)

    def wants_stop(self) -> bool:
        """Whether any of the reporters asks the run to stop."""
        return any(reporter.wants_stop() for reporter in self._reporters)

    def end(self, info: Mapping[str, Any]) -> None:
        """Tell all reporters that training has ended."""
        for reporter in self._reporters:
            reporter.end(info)

    def close(self) -> None:
        """Close all reporters, even after one of them fails; raise the last error."""
        with contextlib.ExitStack() as stack:
            for reporter in reversed(self._reporters):
                stack.callback(reporter.close)


def make_reporter(
    workdir: Path, callbacks: Sequence[Callback] = (), progress: str = "auto"
) -> Reporters:
    """The reporters of a run: the terminal, ``metrics.jsonl``, and callbacks.

    Processes other than the first report nothing.

    Args:
        workdir: the run's working directory.
        callbacks: called after the others.
        progress: ``"bar"``, ``"lines"``, ``"none"``, or ``"auto"``, which is a bar on a
            terminal and lines elsewhere.

    Raises:
        ConfigError: the file exists, but does not hold metrics.
    """
    if not is_first():
        return Reporters()
    metrics = workdir / METRICS
    try:
        check_records(metrics)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise ConfigError(f"{error}; move the file away") from error
    shown = [] if progress == "none" else [make_terminal_reporter(progress=progress)]
    tell = shown[0].message if shown else warn
    return Reporters(*shown, MetricsFile(metrics, tell), CallbackReporter(callbacks))
