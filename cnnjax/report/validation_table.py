"""The validations of a run as a table on a terminal: one row each, the best marked."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from cnnjax.report.lines import GAP, duration_text
from cnnjax.streams import printable

MARK = "*"
_NO_METRICS = ("epoch", "examples", "kind", "seconds", "step")


class Column(NamedTuple):
    """One column of the table.

    Attributes:
        rank: the highest ranks are left out of a narrow table first.
        title: in the header.
        text: of the row.
        width: of title and text, as far as they fit.
    """

    rank: int
    title: str
    text: str
    width: int


class Row(NamedTuple):
    """What a validation adds to the table.

    Attributes:
        header: the lines to print first; none if the columns are those of the row
            before.
        text: the row.
        is_best: whether it is the best so far.
    """

    header: list[str]
    text: str
    is_best: bool


class ValidationTable:
    """The rows of a table, and which of them is the best so far.

    Args:
        info: the argument of a reporter's ``start``.
    """

    def __init__(self, info: Mapping[str, Any]):
        self._monitor: str = info["monitor"]
        self._sign = 1 if info["higher_is_better"] else -1
        self._least: float = info["min_improvement"]
        # The steps and values of the best validations, each better than those before.
        self._bests: list[tuple[int, float]] = []
        best = info["best"] or {}
        if best.get(self._monitor) is not None:
            self._bests.append((best["step"], best[self._monitor]))
        self._latest: Mapping[str, Any] = {}
        self._losses: list[float] = []  # of the steps since the last row
        self._step_width = max(6, len(str(info["total_steps"])))
        self._titles: list[str] = []

    def rewind(self, step: int) -> None:
        """Forgets the validations after ``step``."""
        self._bests = [best for best in self._bests if best[0] <= step]
        self._latest, self._losses = {}, []

    def step(self, record: Mapping[str, Any]) -> None:
        """Notes a training step, whose loss counts in the next row's mean."""
        self._latest = record
        self._losses.append(record["loss"])

    def row(self, record: Mapping[str, Any], width: int) -> Row:
        """The row of a validation.

        Args:
            record: the argument of a reporter's ``log``.
            width: of the terminal in columns.
        """
        is_best = self._judge(record)
        columns = self._columns(record, is_best)
        kept = _fit(columns, width)
        titles, header = [column.title for column in kept], []
        if titles != self._titles:
            self._titles = titles
            monitor = f"{MARK} marks the best validation {printable(self._monitor)} yet"
            header = [monitor[:width], _line(titles, kept, width)]
        text = _line([column.text for column in kept], kept, width)
        return Row(header, text, is_best)

    def _judge(self, record: Mapping[str, Any]) -> bool:
        """Whether a validation is the best so far, which is then remembered."""
        value = record[self._monitor]
        if not math.isfinite(value):
            return False
        if self._bests:
            gain = self._sign * (value - self._bests[-1][1])
            if gain <= self._least:
                return False
        self._bests.append((record["step"], value))
        return True

    def _columns(self, record: Mapping[str, Any], is_best: bool) -> list[Column]:
        """All columns: of the run, of each metric, and of speed and time."""
        rate = self._latest.get("learning_rate")
        speed = self._latest.get("images_per_second")
        losses, self._losses = self._losses, []
        train_loss = sum(losses) / len(losses) if losses else None
        columns = [
            Column(1, "epoch", f"{record['epoch']:.2f}", 6),
            Column(9, "step", str(record["step"]), self._step_width),
            Column(4, "train loss", _number(train_loss), 10),
        ]
        for name in [name for name in record if name not in _NO_METRICS]:
            title = {"loss": "val loss"}.get(name, printable(name))
            text = (
                f"{record[name]:.2%}" if name == "accuracy" else _number(record[name])
            )
            rank = {"loss": 2, "accuracy": 3}.get(name, 5)
            if name == self._monitor:
                rank, title = 0, f"{title} "
                text += MARK if is_best else " "
            columns.append(Column(rank, title, text, max(len(title), 8)))
        return [
            *columns,
            Column(8, "lr", "" if rate is None else f"{rate:.3g}", 8),
            Column(7, "images/s", "" if speed is None else f"{speed:,.0f}", 8),
            Column(6, "time", _time(record["seconds"]), 7),
        ]


def _fit(columns: list[Column], width: int) -> list[Column]:
    """As many columns as fit, in their order; at least the one of the lowest rank.

    Of equal ranks, the last is left out first.
    """
    kept = list(columns)
    while len(kept) > 1 and _width(kept) > width:
        kept.remove(max(reversed(kept), key=lambda column: column.rank))
    return kept


def _width(columns: list[Column]) -> int:
    return sum(column.width for column in columns) + len(GAP) * (len(columns) - 1)


def _line(texts: list[str], columns: list[Column], width: int) -> str:
    """Texts on the right of their columns, cut at the edge of the terminal."""
    pairs = zip(texts, columns, strict=True)
    return GAP.join(f"{text:>{column.width}}" for text, column in pairs)[:width]


def _number(value: float | None) -> str:
    """A number in eight characters: ``"0.5459"``, ``"1.23e+05"``, ``"nan"``."""
    if value is None:
        return ""
    text = f"{value:.4f}"
    return text if len(text) <= 8 else f"{value:.3g}"


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else duration_text(seconds)
