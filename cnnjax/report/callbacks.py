"""A user's own code during a run: ``Callback``, and the reporter that calls it."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from cnnjax.config.import_path import failure, resolve, wrong_kind
from cnnjax.errors import ConfigError
from cnnjax.typing import Reporter


class Callback:
    """Code that runs during training; override the methods that you need.

    The first process of a run calls its callbacks, in the thread that trains: what they
    do delays training. A method that returns ``True`` asks the run to stop: it takes at
    most one more step, saves a checkpoint, scores the test split, and ends. The same
    command resumes it.

    Example::

        >>> import cnnjax
        >>> class StopAtTarget(cnnjax.Callback):
        ...     def on_evaluation(self, record):
        ...         return record["kind"] == "validation" and record["accuracy"] > 0.9
    """

    def on_start(self, info: Mapping[str, Any]) -> bool | None:
        """Called once, before the first step.

        Args:
            info: name (of the model), total_steps, examples (of the training split),
                epochs, batch_size, parameters (how many), device, workdir, metrics
                (their names in an evaluation), monitor (the metric that decides which
                validation is the best), higher_is_better and min_improvement (of the
                monitor), best (step and metrics of the best validation of a resumed
                run, or ``None``).
        """

    def on_step(self, record: Mapping[str, Any]) -> bool | None:
        """Called after each training step, while the next one runs.

        Args:
            record: step, epoch, loss, accuracy, learning_rate, images_per_second, and
                data_wait_fraction (the share of the time spent waiting for data).
        """

    def on_evaluation(self, record: Mapping[str, Any]) -> bool | None:
        """Called after each validation, and after the test at the end.

        Args:
            record: kind ("validation" or "test"), step, epoch, loss, accuracy, examples
                and seconds (since the start of the run).
        """

    def on_checkpoint(self, step: int, folder: str) -> bool | None:
        """Called when a checkpoint is complete on disk.

        Saving runs beside training, so this may be some steps after ``step``.

        Args:
            step: of the state that was saved.
            folder: which holds it.
        """

    def on_end(self, info: Mapping[str, Any]) -> None:
        """Called at the end of training; not if an error ended it.

        Args:
            info: step, and reason: "finished", "early stopping", "callback", or the
                name of the signal that stopped the run, such as "SIGTERM".
        """


def make_callback(path: str) -> Callback:
    """The callback that the setting ``report`` names.

    Args:
        path: import path of a subclass of ``Callback`` that needs no arguments.

    Raises:
        ConfigError: a path that names something else.
    """
    expected = "a subclass of cnnjax.Callback that needs no arguments"
    found = resolve("report", path, expected)
    if not (inspect.isclass(found) and issubclass(found, Callback)):
        raise wrong_kind("report", path, found, expected)
    try:
        return found()
    except Exception as error:  # a user's own code
        raise ConfigError(failure("report", path, error)) from error


class CallbackReporter(Reporter):
    """A reporter that passes on what it receives to callbacks, in order.

    After a rollback, they see repeated steps again.

    Args:
        callbacks: whose methods are called.
    """

    def __init__(self, callbacks: Sequence[Callback]):
        self._callbacks = callbacks
        self._stop = False

    def start(self, info: Mapping[str, Any]) -> None:
        """Call ``on_start``."""
        for callback in self._callbacks:
            self._stop |= callback.on_start(info) is True

    def step(self, record: Mapping[str, Any]) -> None:
        """Call ``on_step``."""
        for callback in self._callbacks:
            self._stop |= callback.on_step(record) is True

    def log(self, record: Mapping[str, Any]) -> None:
        """Call ``on_evaluation``, unless it is a line of training metrics."""
        if record["kind"] == "train":
            return
        for callback in self._callbacks:
            self._stop |= callback.on_evaluation(record) is True

    def checkpoint(self, step: int, folder: str) -> None:
        """Call ``on_checkpoint``."""
        for callback in self._callbacks:
            self._stop |= callback.on_checkpoint(step, folder) is True

    def wants_stop(self) -> bool:
        """Whether a callback has asked the run to stop."""
        return self._stop

    def end(self, info: Mapping[str, Any]) -> None:
        """Call ``on_end``."""
        for callback in self._callbacks:
            callback.on_end(info)
