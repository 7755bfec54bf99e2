"""A training run on a terminal: a progress bar, and a table of results above it."""

import os
import threading
import time
from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar as Bar
from rich.table import Table
from rich.text import Text

from cnnjax.report.lines import duration_text, fit, header, log_lines, step_text
from cnnjax.report.validation_table import ValidationTable
from cnnjax.report.work import BAR_AFTER_SECONDS, Task
from cnnjax.streams import printable
from cnnjax.typing import Reporter

REFRESH_SECONDS = 0.2
_SHORTEST_BAR = 10


class ProgressBar(Reporter):
    """A reporter that keeps a progress bar on the last lines of a terminal.

    The training thread draws the bar, with numbers below, at most every
    ``REFRESH_SECONDS``; in between, a step only reads the clock. Each validation adds a
    row to a table above the bar, between messages; logged training records are not
    shown. Long work gets a bar of its own below, which goes away when the work is done.
    Until ``close`` is called, standard output and standard error appear above the bar,
    too.

    Args:
        stream: a terminal.
    """

    def __init__(self, stream: TextIO):
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._is_ascii = lacks_unicode(stream)
        self._table: ValidationTable | None = None
        self._total_steps = 0
        self._first: tuple[int, float] | None = None
        self._latest: Mapping[str, Any] = {}
        self._shown: dict[str, Any] = {"step": 0, "epochs": 0}
        self._next_refresh = 0.0
        self._task, self._task_shown = Task(), False
        self._is_training = False
        self._live = self._make_live()
        self._before: Live | None = None  # a bar of work before training
        self._lock = threading.RLock()  # work of unknown length is told by a thread

    def start(self, info: Mapping[str, Any]) -> None:
        """Print a description of the run and draw the empty bar."""
        self._total_steps = info["total_steps"]
        self._table = ValidationTable(info)
        self._shown["epochs"] = info["epochs"]
        for line in header(info):
            self.message(line)
        with self._lock:
            self._hide_task()
            self._is_training = True
            self._live.start(refresh=True)

    def rewind(self, step: int) -> None:
        """Move the bar back, and start to measure the pace again."""
        self._latest, self._first = {"step": step}, None
        if self._table:
            self._table.rewind(step)

    def step(self, record: Mapping[str, Any]) -> None:
        """Move the bar, if enough time has passed."""
        self._latest = record
        if self._table:
            self._table.step(record)
        now = time.monotonic()
        if now < self._next_refresh and record["step"] < self._total_steps:
            return
        self._next_refresh = now + REFRESH_SECONDS
        if self._first is None:
            self._first = (record["step"], now)
        self._live.refresh()

    def log(self, record: Mapping[str, Any]) -> None:
        """Print an evaluation above the bar: a validation as a row of the table."""
        if record["kind"] == "test":
            for line in log_lines(record, self._total_steps, self._console.width):
                self.message(line)
        if record["kind"] != "validation" or self._table is None:
            return
        row = self._table.row(record, self._console.width)
        lines = [Text(line, "bold") for line in row.header]
        lines.append(Text(row.text, "green" if row.is_best else ""))
        self._console.print(Text("\n").join(lines))

    def message(self, text: str) -> None:
        """Print a sentence above the bar."""
        self._console.print(printable(text))

    def progress(self, task: str, done: int, total: int | None, unit: str) -> None:
        """Draw the bar of long work, once it has taken a second."""
        with self._lock:
            self._task.update(task, done, total, unit)
            now = time.monotonic()
            if self._task.seconds < BAR_AFTER_SECONDS:
                self._hide_task()
            elif now >= self._next_refresh:
                self._next_refresh = now + REFRESH_SECONDS
                self._task_shown = True
                if not self._is_training and self._before is None:
                    self._before = self._make_live(transient=True)
                    self._before.start()
                (self._before or self._live).refresh()

    def _hide_task(self) -> None:
        if not self._task_shown:
            return
        self._task_shown = False
        if self._before:
            self._before.stop()
            self._before = None
        else:
            self._live.refresh()

    def _make_live(self, *, transient: bool = False) -> Live:
        return Live(
            console=self._console,
            auto_refresh=False,
            transient=transient,
            get_renderable=self._render,
        )

    def close(self) -> None:
        """Draw the bar once more and release the terminal."""
        with self._lock:
            self._hide_task()
            self._live.stop()

    def _render(self) -> RenderableType:
        rows: list[RenderableType] = []
        if self._is_training:
            rows.append(self._render_training())
        if self._task_shown:
            rows.append(self._render_task())
        return Group(*rows)

    def _render_task(self) -> RenderableType:
        """The bar of long work, or only words where its length is unknown."""
        task, width = self._task, self._console.width
        text = printable(task)
        if task.total is None or width < len(text) + 1 + _SHORTEST_BAR:
            return Text(text[:width], no_wrap=True)
        return self._bar(task.total, task.done, text)

    def _render_training(self) -> RenderableType:
        """The bar with the step and the time left, and a line of numbers below."""
        self._shown.update(self._latest)
        step, width = self._shown["step"], self._console.width
        beside = [(0, step_text(step, self._total_steps)), (1, self._time_left(step))]
        room = max(0, width - _SHORTEST_BAR - 1)
        text = fit([(rank, text) for rank, text in beside if text], room)
        numbers = fit(self._numbers(), width)
        bar = self._bar(self._total_steps, step, text)
        return Group(bar, Text(numbers, no_wrap=True)) if numbers else bar

    def _numbers(self) -> list[tuple[int, str]]:
        """The numbers below; on a narrow terminal, high ranks are left out."""
        shown = self._shown
        fields = [
            (1, _number(shown, "epoch", "epoch {:.2f}/" + f"{shown['epochs']:g}")),
            (0, _number(shown, "loss", "loss {:.4f}")),
            (2, _number(shown, "accuracy", "accuracy {:.1%}")),
            (3, _number(shown, "images_per_second", "{:,.0f} images/s")),
            (4, _number(shown, "data_wait_fraction", "data wait {:.0%}")),
        ]
        return [(rank, text) for rank, text in fields if text]

    def _time_left(self, step: int) -> str:
        """The time left, from the pace since this process took its first step."""
        if self._first is None or step <= self._first[0]:
            return ""
        first_step, first_time = self._first
        pace = (time.monotonic() - first_time) / (step - first_step)
        return f"{duration_text(pace * (self._total_steps - step))} left"

    def _bar(self, total: int, done: int, status: str) -> Table:
        """A bar with words on its right."""
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(ratio=1, min_width=_SHORTEST_BAR)
        table.add_column(no_wrap=True)
        if self._is_ascii:
            room = max(_SHORTEST_BAR, self._console.width - len(status) - 1)
            filled = room * done // max(1, total)
            bar = Text("#" * filled + "." * (room - filled), no_wrap=True)
        else:
            bar = Bar(max(1, total), done)
        table.add_row(bar, Text(status))
        return table


def lacks_unicode(stream: TextIO) -> bool:
    """Whether a terminal may show other characters than those of ASCII wrongly.

    Python writes UTF-8 in the locale "C", too, where the terminal may not expect it.
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    locale = os.environ.get("LC_ALL") or os.environ.get("LANG")
    return not encoding.lower().startswith("utf") or locale in ("C", "POSIX")


def _number(shown: Mapping[str, Any], key: str, form: str) -> str:
    value = shown.get(key)
    return "" if value is None else form.format(value)
