"""The metrics of a run as a file with one JSON object per line."""

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from cnnjax.errors import NotRegularError
from cnnjax.files import append_whole, open_regular, write_whole
from cnnjax.json_file import parse_json
from cnnjax.streams import warn
from cnnjax.typing import Reporter

# JSON has no such numbers.
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class MetricsFile(Reporter):
    """A reporter that appends each logged record to a file as one line of JSON.

    Each line goes to the operating system when it is logged, so a killed process loses
    at most the line that it was writing. Numbers that are not finite are written as the
    strings "NaN", "Infinity" and "-Infinity".

    A full disk does not end a run: records wait in memory, and are written in order as
    soon as there is room again.

    Args:
        path: the file. It and its folders are created with the first record. Existing
            lines are kept, except for an incomplete last line.
        tell: called with a sentence for people if records have to wait.
    """

    def __init__(self, path: str | Path, tell: Callable[[str], None] = warn):
        self._path = Path(path)
        self._tell = tell
        self._file: BinaryIO | None = None
        self._waiting: list[dict[str, Any]] = []
        self._failure = ""

    def rewind(self, step: int) -> None:
        """Remove the records of steps that will be repeated, and of the final test.

        The file stays open from here on, so the run writes to its own file even if
        somebody moves its folder away.
        """
        self._close_file()
        self._waiting = [record for record in self._waiting if _stays(record, step)]
        if os.path.lexists(self._path):
            _cut(self._path, step)
        if self._path.parent.is_dir():
            self._write()

    def log(self, record: Mapping[str, Any]) -> None:
        """Append a flat record of strings and of Python or NumPy numbers."""
        self._waiting.append(dict(record))
        self._write()

    def _write(self) -> None:
        """Writes the waiting records, or tells why they have to wait."""
        try:
            self._file = self._file or _open(self._path)
            append_whole(
                self._file.fileno(), "".join(map(_line, self._waiting)).encode()
            )
        except NotRegularError:
            raise
        except OSError as error:
            if not self._failure:
                self._tell(
                    f"metrics cannot be written to {self._path} ({error.strerror});"
                    " training continues, and they wait in memory until there is room"
                )
            self._failure = error.strerror or str(error)
            self._close_file()
            return
        if self._failure:
            self._tell(f"the waiting metrics have been written to {self._path}")
        self._waiting, self._failure = [], ""

    def close(self) -> None:
        """Close the file.

        Raises:
            OSError: some records still cannot be written.
        """
        if self._waiting:
            self._write()
        self._close_file()
        lost, self._waiting = len(self._waiting), []
        if lost:
            raise OSError(
                f"the last {lost} records of metrics could not be written to"
                f" {self._path} ({self._failure}); those before are complete"
            )

    def _close_file(self) -> None:
        if self._file:
            self._file.close()
        self._file = None


class LayersFile(MetricsFile):
    """A reporter that appends the numbers of each layer, such as norms of gradients.

    Each line is a step, such as ``{"kind": "layers", "step": 60,
    "gradient_norm/Conv_0": 0.5}``.

    Args:
        path: the file.
        tell: called with a sentence for people if records have to wait.
    """

    def log(self, record: Mapping[str, Any]) -> None:
        """Leave metrics to other reporters."""

    def layers(
        self, step: int, scalars: Mapping[str, float], arrays: Mapping[str, Any]
    ) -> None:
        """Append the numbers of one step."""
        super().log({"kind": "layers", "step": step, **scalars})


def _stays(record: Mapping[str, Any], last_step: int) -> bool:
    return record["step"] <= last_step and record["kind"] != "test"


def _line(record: Mapping[str, Any]) -> str:
    values = {key: encode(value) for key, value in record.items()}
    # DEL is the only control character that JSON does not escape.
    return json.dumps(values, allow_nan=False).replace("\x7f", r"\u007f") + "\n"


def _open(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open_regular(path, "ab", follow_links=False)
    file.truncate(len(_whole_lines(path)))
    return file


def _cut(path: Path, last_step: int) -> None:
    """Removes the records of later steps; shortening a file needs no disk space."""
    lines = [line + b"\n" for line in _whole_lines(path).split(b"\n")[:-1]]
    kept = [
        line
        for line, record in zip(lines, read_metrics(path), strict=True)
        if _stays(record, last_step)
    ]
    if kept != lines[: len(kept)]:
        write_whole(path, b"".join(kept).decode())
        return
    with open_regular(path, "ab", follow_links=False) as file:
        file.truncate(sum(map(len, kept)))


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """The records of a metrics file, in the order in which they were logged.

    An incomplete last line, which a killed process leaves, is skipped. The strings
    "NaN", "Infinity" and "-Infinity" come back as numbers.

    Args:
        path: a file that ``MetricsFile`` wrote.

    Raises:
        OSError: there is no regular file at ``path``.
        ValueError: another line is not a JSON object.
    """
    path = Path(path)
    lines = _whole_lines(path).split(b"\n")[:-1]
    return [_decode(path, number, line) for number, line in enumerate(lines, start=1)]


def check_records(path: str | Path) -> None:
    """Refuses a file to which a resumed run cannot append.

    Raises:
        OSError: there is no regular file at ``path``.
        ValueError: a line is not the record of a step.
    """
    for number, record in enumerate(read_metrics(path), start=1):
        if not isinstance(record.get("step"), int) or "kind" not in record:
            raise ValueError(
                f"{path}, line {number}, has no kind or no step that is a whole number;"
                " remove the line, or restore the file"
            )


def _whole_lines(path: Path) -> bytes:
    """The file's content up to the end of its last complete line."""
    with open_regular(path, follow_links=False) as file:
        content = file.read()
    return content[: content.rfind(b"\n") + 1]


def encode(value: Any) -> Any:
    """A value for JSON, which has no numbers for NaN and infinity."""
    if hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _decode(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = parse_json(line)
    except ValueError as error:
        raise ValueError(_damaged(path, number, line)) from error
    if not isinstance(record, dict):
        raise ValueError(_damaged(path, number, line))
    return {
        key: _NON_FINITE.get(value, value) if isinstance(value, str) else value
        for key, value in record.items()
    }


def _damaged(path: Path, number: int, line: bytes) -> str:
    return (
        f"{path}, line {number}, should be a JSON object but is {line[:60]!r}; "
        "remove the line, or restore the file"
    )
