"""Long work on a terminal: a bar with the time left that goes away, or plain lines."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from cnnjax.progress import shown_by
from cnnjax.report.lines import duration_text

LINE_SECONDS = 10.0
"""Between two lines about one task."""

BAR_AFTER_SECONDS = 1.0
"""Work that takes less shows no bar."""


class Task:
    """The work in progress, and its pace.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._begin = 0.0
        self.name, self.done, self.total, self.unit = "", 0, None, ""

    def update(self, name: str, done: int, total: int | None, unit: str) -> None:
        """Takes over how far the work is; another name or less done begins a task."""
        if name != self.name or done < self.done:
            self._begin = self._clock()
        self.name, self.done, self.total, self.unit = name, done, total, unit
        if done == total:
            self.name = ""

    @property
    def seconds(self) -> float:
        """Since the task began; 0 if there is none."""
        return self._clock() - self._begin if self.name else 0.0

    def __str__(self) -> str:
        """The task in words, such as "measuring: 40 of 60 images, 0:06 left"."""
        if self.total is None:
            return f"{self.name}: {duration_text(self.seconds)}"
        text = f"{self.name}: {self.done:,} of {self.total:,} {self.unit}"
        if not self.done:
            return text
        left = self.seconds / self.done * (self.total - self.done)
        return f"{text}, {duration_text(left)} left"


class WorkLines:
    """Prints a line about long work every ten seconds.

    Args:
        message: prints a line.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        message: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._task, self._message = Task(clock), message
        self._next = LINE_SECONDS

    def __call__(self, task: str, done: int, total: int | None, unit: str) -> None:
        """Prints a line if one is due."""
        self._task.update(task, done, total, unit)
        seconds = self._task.seconds
        if seconds < 1:
            self._next = LINE_SECONDS
        elif seconds >= self._next:
            self._next = seconds + LINE_SECONDS
            self._message(str(self._task))


@contextlib.contextmanager
def work_shown(stream: TextIO | None = None) -> Iterator[None]:
    """Shows long work of a command that has no other reporter.

    Args:
        stream: where; standard error by default, as results go to standard output.
    """
    from cnnjax.report.terminal import make_terminal_reporter

    reporter = make_terminal_reporter(sys.stderr if stream is None else stream)
    try:
        with shown_by(reporter.progress):
            yield
    finally:
        reporter.close()
