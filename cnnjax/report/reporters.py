"""Several reporters of a training run as one."""

import contextlib
from collections.abc import Mapping
from typing import Any

from cnnjax.typing import Reporter


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

    def close(self) -> None:
        """Close all reporters, even after one of them fails; raise the last error."""
        with contextlib.ExitStack() as stack:
            for reporter in reversed(self._reporters):
                stack.callback(reporter.close)
