"""A training run on the terminal: a progress bar for people, plain lines for files."""

import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO, cast

from cnnjax.report.lines import header, log_line
from cnnjax.report.work import WorkLines
from cnnjax.streams import Lasting, printable
from cnnjax.typing import Reporter


def make_terminal_reporter(
    stream: TextIO | None = None, progress: str = "auto"
) -> Reporter:
    """A reporter for a stream: a progress bar on a terminal, plain lines elsewhere.

    If the environment sets ``NO_COLOR`` (https://no-color.org) or ``TERM=dumb``, a
    terminal gets plain lines, too, without escape codes. Output that cannot be written,
    such as to a closed pipe or terminal, is dropped, and the run continues.

    Args:
        stream: where to write; by default, standard output.
        progress: ``"bar"`` or ``"lines"`` instead of ``"auto"``.
    """
    target = cast(TextIO, Lasting(sys.stdout if stream is None else stream))
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if progress == "lines" or (progress == "auto" and (plain or not target.isatty())):
        return PlainLines(target)
    from cnnjax.report.progress_bar import ProgressBar  # rich takes 50 ms to load

    return ProgressBar(target)


class PlainLines(Reporter):
    """A reporter that prints one line for each logged record, and nothing for steps.

    Args:
        stream: where to write; flushed after each line.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._total_steps = 0
        self.progress = WorkLines(self.message)

    def start(self, info: Mapping[str, Any]) -> None:
        """Print a description of the run."""
        self._total_steps = info["total_steps"]
        for line in header(info):
            self.message(line)

    def log(self, record: Mapping[str, Any]) -> None:
        """Print a record."""
        self.message(log_line(record, total_steps=self._total_steps))

    def message(self, text: str) -> None:
        """Print a sentence."""
        print(printable(text), file=self._stream, flush=True)
