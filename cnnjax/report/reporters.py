"""The reporters of a training run, and several as one."""

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnjax.config.import_path import is_import_path
from cnnjax.errors import ConfigError, unknown_name
from cnnjax.report.callbacks import Callback, CallbackReporter, make_callback
from cnnjax.report.metrics_file import LayersFile, MetricsFile, check_records
from cnnjax.report.terminal import make_terminal_reporter
from cnnjax.streams import warn
from cnnjax.train.machine.processes import is_first
from cnnjax.typing import Reporter

METRICS, LAYERS = "metrics.jsonl", "layers.jsonl"
HTML = "html"
"""In the setting ``report``: a report as an HTML file once the run is finished."""


class Reporters(Reporter):
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

    def inputs(self, shown: Sequence[Any], dataset: Any, normalization: Any) -> None:
        """Give all reporters images as the network sees them."""
        for reporter in self._reporters:
            reporter.inputs(shown, dataset, normalization)

    def layers(
        self, step: int, scalars: Mapping[str, float], arrays: Mapping[str, Any]
    ) -> None:
        """Tell all reporters about each layer."""
        for reporter in self._reporters:
            reporter.layers(step, scalars, arrays)

    def outputs(
        self, kind: str, step: int, outputs: Any, class_names: Sequence[str] | None
    ) -> None:
        """Give all reporters the outputs of an evaluation."""
        for reporter in self._reporters:
            reporter.outputs(kind, step, outputs, class_names)

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
    workdir: Path,
    names: Sequence[str] = ("terminal", "jsonl"),
    settings: Mapping[str, Any] = {},
    callbacks: Sequence[Callback] = (),
    progress: str = "auto",
) -> Reporters:
    """The reporters of a run.

    Processes other than the first report nothing.

    Args:
        workdir: the run's working directory.
        names: ``"terminal"``, keys of ``MAKERS``, and import paths of callbacks;
            ``"html"`` is for the caller, as it needs the trained network.
        settings: of the run by dotted names, for those who show them.
        callbacks: called after those of ``names``.
        progress: ``"bar"``, ``"lines"``, ``"none"``, or ``"auto"``, which is a bar on a
            terminal and lines elsewhere.

    Raises:
        ConfigError: an unknown name, a package that is not installed, or a file or
            folder in the way.
    """
    _check(names)
    own = [make_callback(name) for name in names if is_import_path(name)]
    if not is_first():
        return Reporters()
    reporters: list[Reporter] = []
    tell = warn
    if "terminal" in names and progress != "none":
        reporters.append(make_terminal_reporter(progress=progress))
        tell = reporters[0].message
    for name in names:
        if name in MAKERS:
            reporters.append(MAKERS[name](workdir, settings, tell))
    return Reporters(*reporters, CallbackReporter([*own, *callbacks]))


def _check(names: Sequence[str]) -> None:
    """Refuses names of no reporter, and those that stand twice.

    Raises:
        ConfigError: the first of them.
    """
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ConfigError(f"report names {name!r} twice")
        known = ["terminal", HTML, *MAKERS]
        if name not in known and not is_import_path(name):
            error = unknown_name("reporter", name, known)
            raise ConfigError(f"report: {error}; or give 'module:attribute'")


def _make_file(
    kind: type[MetricsFile],
    name: str,
    workdir: Path,
    settings: Mapping[str, Any],
    tell: Callable[[str], None],
) -> Reporter:
    path = workdir / name
    try:
        check_records(path)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise ConfigError(f"{error}; move the file away") from error
    return kind(path, tell)


def _make_tensorboard(
    workdir: Path, settings: Mapping[str, Any], tell: Callable[[str], None]
) -> Reporter:
    from cnnjax.report.tensorboard import make_tensorboard  # which takes time to load

    return make_tensorboard(workdir, settings, tell)


def _make_service(
    name: str, workdir: Path, settings: Mapping[str, Any], tell: Callable[[str], None]
) -> Reporter:
    from cnnjax.report.services import SERVICES

    return SERVICES[name](name, workdir, settings, tell)


MAKERS: dict[str, Callable[..., Reporter]] = {
    "jsonl": functools.partial(_make_file, MetricsFile, METRICS),
    "layers": functools.partial(_make_file, LayersFile, LAYERS),
    "tensorboard": _make_tensorboard,
    "wandb": functools.partial(_make_service, "wandb"),
    "mlflow": functools.partial(_make_service, "mlflow"),
}
"""Makers of reporters from a working directory, settings, and what tells people."""
