"""A training run on a terminal: a progress bar, and the results scrolling above it."""

import time
from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar as Bar
from rich.table import Table
from rich.text import Text

from cnnjax.report.lines import duration_text, fit, header, log_line, step_text
from cnnjax.streams import printable

REFRESH_SECONDS = 0.2
_SHORTEST_BAR = 10


class ProgressBar:
    """A reporter that keeps a progress bar on the last line of a terminal.

    The training thread draws the bar, at most every ``REFRESH_SECONDS``; in between, a
    step only reads the clock. Evaluations and messages are printed above the bar;
    logged training records only change the accuracy beside it. Until ``close`` is
    called, standard output and standard error appear above the bar, too.

    Args:
        stream: a terminal.
    """

    def __init__(self, stream: TextIO):
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._total_steps = 0
        self._first: tuple[int, float] | None = None
        self._latest: Mapping[str, Any] = {}
        self._shown: dict[str, Any] = {"step": 0, "epochs": 0}
        self._next_refresh = 0.0
        self._live = Live(
            console=self._console, auto_refresh=False, get_renderable=self._render
        )

    def start(self, info: Mapping[str, Any]) -> None:
        """Print a description of the run and draw the empty bar."""
        self._total_steps = info["total_steps"]
        self._shown["epochs"] = info["epochs"]
        for line in header(info):
            self.message(line)
        self._live.start(refresh=True)

    def rewind(self, step: int) -> None:
        """Move the bar back, and start to measure the pace again."""
        self._latest, self._first = {"step": step}, None

    def step(self, record: Mapping[str, Any]) -> None:
        """Move the bar, if enough time has passed."""
        self._latest = record
        now = time.monotonic()
        if now < self._next_refresh and record["step"] < self._total_steps:
            return
        self._next_refresh = now + REFRESH_SECONDS
        if self._first is None:
            self._first = (record["step"], now)
        self._live.refresh()

    def log(self, record: Mapping[str, Any]) -> None:
        """Print an evaluation above the bar, or show a training accuracy beside it."""
        if record["kind"] == "train":
            self._shown["accuracy"] = record.get("accuracy")
            return
        width = self._console.width
        self.message(log_line(record, total_steps=self._total_steps, width=width))

    def message(self, text: str) -> None:
        """Print a sentence above the bar."""
        self._console.print(printable(text))

    def checkpoint(self, step: int, folder: str) -> None:
        """Do nothing: one line per checkpoint would be too many."""

    def wants_stop(self) -> bool:
        """Never."""
        return False

    def end(self, info: Mapping[str, Any]) -> None:
        """Do nothing: the run says how it ended."""

    def close(self) -> None:
        """Draw the bar once more and release the terminal."""
        self._live.stop()

    def _render(self) -> Table:
        self._shown.update(self._latest)
        step = self._shown["step"]
        room = max(0, self._console.width - _SHORTEST_BAR - 1)
        status = fit(self._fields(step), room)
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(ratio=1, min_width=_SHORTEST_BAR)
        table.add_column(no_wrap=True)
        table.add_row(Bar(max(1, self._total_steps), step), Text(status))
        return table

    def _fields(self, step: int) -> list[tuple[int, str]]:
        """The numbers beside the bar; on a narrow terminal, high ranks are left out."""
        shown = self._shown
        fields = [
            (0, step_text(step, self._total_steps)),
            (3, _number(shown, "epoch", "epoch {:.2f}/" + f"{shown['epochs']:g}")),
            (1, _number(shown, "loss", "loss {:.4f}")),
            (4, _number(shown, "accuracy", "accuracy {:.1%}")),
            (5, _number(shown, "images_per_second", "{:,.0f} images/s")),
            (2, self._time_left(step)),
        ]
        return [(rank, text) for rank, text in fields if text]

    def _time_left(self, step: int) -> str:
        """The time left, from the pace since this process took its first step."""
        if self._first is None or step <= self._first[0]:
            return ""
        first_step, first_time = self._first
        pace = (time.monotonic() - first_time) / (step - first_step)
        return f"{duration_text(pace * (self._total_steps - step))} left"


def _number(shown: Mapping[str, Any], key: str, form: str) -> str:
    value = shown.get(key)
    return "" if value is None else form.format(value)
