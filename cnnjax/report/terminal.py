"""A training run on the terminal: a progress bar for people, plain lines for files."""

import os
import shutil
import sys
from collections.abc import Mapping
from typing import Any, TextIO, cast

from cnnjax.report.lines import header, log_line, log_lines
from cnnjax.report.validation_table import ValidationTable
from cnnjax.report.work import WorkLines
from cnnjax.streams import Lasting, printable
from cnnjax.typing import Reporter


def make_terminal_reporter(
    stream: TextIO | None = None, progress: str = "auto"
) -> Reporter:
    """A reporter for a stream: a progress bar on a terminal, plain lines elsewhere.

    If the environment sets ``NO_COLOR`` (https://no-color.org) or ``TERM=dumb``, a
    terminal gets no bar and no escape codes. Output that cannot be written,
    such as to a closed pipe or terminal, is dropped, and the run continues.

    Args:
        stream: where to write; by default, standard output.
        progress: ``"bar"`` or ``"lines"`` instead of ``"auto"``.
    """
    target = cast(TextIO, Lasting(sys.stdout if stream is None else stream))
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if progress == "lines" or (progress == "auto" and not target.isatty()):
        return PlainLines(target)
    if progress == "auto" and plain:
        return PlainTable(target)
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


class PlainTable(PlainLines):
    """A reporter for a terminal without a bar: validations are the rows of a table.

    Args:
        stream: a terminal; flushed after each line.
    """

    _table: ValidationTable | None = None

    def start(self, info: Mapping[str, Any]) -> None:
        """Print a description of the run."""
        super().start(info)
        self._table = ValidationTable(info)

    def rewind(self, step: int) -> None:
        """Forget the validations after ``step``."""
        if self._table:
            self._table.rewind(step)

    def step(self, record: Mapping[str, Any]) -> None:
        """Note the loss of a step for the next row."""
        if self._table:
            self._table.step(record)

    def log(self, record: Mapping[str, Any]) -> None:
        """Print an evaluation; the records of training are part of the table."""
        width = shutil.get_terminal_size().columns
        lines: list[str] = []
        if record["kind"] == "test":
            lines = log_lines(record, self._total_steps, width)
        elif record["kind"] == "validation" and self._table:
            row = self._table.row(record, width)
            lines = [*row.header, row.text]
        for line in lines:
            self.message(line)
