"""A comparison as lines of text and as values for JSON."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cnnjax.compare.gradients import Row
from cnnjax.compare.model import Timing
from cnnjax.compare.tolerance import EXCESS, FACTOR, FINITE_DIFFERENCE, NUDGE
from cnnjax.streams import printable

Section = tuple[str, Sequence[Row]]

HEADINGS = (
    "gradient of",
    "shape",
    "max abs",
    "relative",
    "float64",
    "ulp hand",
    "ulp auto",
    "slope",
    "verdict",
)

LEGEND = f"""\
max abs, relative: the largest difference between the hand-written gradient and
autodiff's, and the same divided by the largest value; float64: the same in float64.
ulp: the error against autodiff's float64 run, in units in the last place of the largest
value. slope: the relative error against a central difference in a random direction.
A gradient is off if its error exceeds both {FACTOR} sqrt(n) eps of its dtype (n is the
number of values in all arguments) and {EXCESS} times autodiff's own error and, for a
network in float32, {EXCESS} times the change when all arguments move by {NUDGE} eps; if
its float64 error exceeds the first limit with eps = 2^-52; or if the error of the slope
exceeds {FINITE_DIFFERENCE:.0e}."""


def lines(sections: Iterable[Section], timing: Timing | None = None) -> list[str]:
    """The comparison for a terminal of 110 columns."""
    sections = list(sections)
    texts = {title: [row_texts(row) for row in rows] for title, rows in sections}
    table = [HEADINGS, *(row for rows in texts.values() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    found = []
    for title, rows in texts.items():
        found += [
            "",
            printable(title),
            _line(HEADINGS, widths),
            *(_line(r, widths) for r in rows),
        ]
    found += ["", LEGEND]
    if timing:
        found += ["", describe_timing(timing)]
    return [*found, "", summary(sections)]


def summary(sections: Iterable[Section]) -> str:
    """Whether all gradients are right, and which are off."""
    rows = [row for _, rows in sections for row in rows]
    wrong = [
        printable(f"{row.name}: {'; '.join(row.failures)}")
        for row in rows
        if not row.ok
    ]
    if not wrong:
        return f"all {len(rows)} gradients are right"
    return f"{len(wrong)} of {len(rows)} gradients are off:\n  " + "\n  ".join(wrong)


def describe_timing(timing: Timing) -> str:
    """One sentence with both times and their ratio."""
    return (
        f"gradient of all parameters: hand-written {timing.custom * 1e3:.2f} ms,"
        f" autodiff {timing.autodiff * 1e3:.2f} ms, {timing.ratio:.2f} times as fast"
    )


def values(sections: Iterable[Section], timing: Timing | None) -> Mapping[str, Any]:
    """The comparison as a tree for JSON."""
    rows = [
        {"section": title, **row._asdict(), "ok": row.ok}
        for title, rows in sections
        for row in rows
    ]
    extra = {"timing": {**timing._asdict(), "ratio": timing.ratio}} if timing else {}
    return {"ok": all(row["ok"] for row in rows), "rows": rows, **extra}


def row_texts(row: Row) -> tuple[str, ...]:
    """The cells of one row, under ``HEADINGS``."""
    slope = row.finite_difference
    return (
        printable(row.name),
        "x".join(map(str, row.shape)) or "scalar",
        f"{row.max_abs:.1e}",
        f"{row.max_rel:.1e}",
        f"{row.float64:.1e}",
        f"{row.f_ulp:.1f}",
        f"{row.g_ulp:.1f}",
        "-" if slope is None else f"{slope:.1e}",
        "ok" if row.ok else "OFF",
    )


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    cells = list(zip(texts, widths, strict=True))
    left = [text.ljust(width) for text, width in cells[:2]]
    right = [text.rjust(width) for text, width in cells[2:]]
    return "  ".join([*left, *right])
