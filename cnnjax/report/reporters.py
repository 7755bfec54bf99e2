"""Many observers of a training run as one."""

import contextlib
from collections.abc import Mapping
from typing import Any

from cnnjax.typing import Reporter


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

    def rewind(self, step: int) -> None:
        """Tell all that later steps are taken again."""
        for reporter in self._reporters:
            reporter.rewind(step)

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
