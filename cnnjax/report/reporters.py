"""The role of an observer of a training run, and many observers as one."""

import contextlib
from collections.abc import Mapping
from typing import Any, Protocol


class Reporter(Protocol):
    """What a training loop tells its observers, in this order."""

    def start(self, info: Mapping[str, Any]) -> None:
        """Hear what the run is, before its first step.

        Args:
            info: name, total_steps, examples (of the training set), epochs, batch_size,
                parameters (how many), device, workdir.
        """
        ...

    def step(self, record: Mapping[str, Any]) -> None:
        """Hear of one training step; called after each, so it has to be quick.

        Args:
            record: step, epoch, loss, learning_rate, images_per_second, as numbers of
                the host.
        """
        ...

    def log(self, record: Mapping[str, Any]) -> None:
        """Hear the metrics of a stretch of training or of an evaluation.

        Args:
            record: kind ("train", "validation" or "test"), step, epoch, and the metrics
                by name; flat, of strings and numbers.
        """
        ...

    def message(self, text: str) -> None:
        """Hear a sentence meant for people."""
        ...

    def close(self) -> None:
        """Hear that the run is over, whether it succeeded or not."""
        ...


class Reporters:
    """Many reporters as one: each call goes to all, in order.

    Args:
        *reporters: who is told, first to last.
    """

    def __init__(self, *reporters: Reporter):
        self._reporters = reporters

    def start(self, info: Mapping[str, Any]) -> None:
        """Tell all what the run is."""
        for reporter in self._reporters:
            reporter.start(info)

    def step(self, record: Mapping[str, Any]) -> None:
        """Tell all of one training step."""
        for reporter in self._reporters:
            reporter.step(record)

    def log(self, record: Mapping[str, Any]) -> None:
        """Tell all the metrics of a stretch of training or of an evaluation."""
        for reporter in self._reporters:
            reporter.log(record)

    def message(self, text: str) -> None:
        """Tell all a sentence."""
        for reporter in self._reporters:
            reporter.message(text)

    def close(self) -> None:
        """Close all, even those after one that raises; the last error is raised."""
        with contextlib.ExitStack() as stack:
            for reporter in reversed(self._reporters):
                stack.callback(reporter.close)
