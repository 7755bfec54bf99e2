"""A table as a CSV file."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cnnjax.files import write_whole


def write_table(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Writes rows, the first one with the names of the columns.

    Raises:
        OSError: the file cannot be written.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_whole(path, text.getvalue())
