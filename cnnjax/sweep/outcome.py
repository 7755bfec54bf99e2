"""How far a run of a sweep is, read from its working directory."""

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnnjax.config.files import to_json
from cnnjax.errors import ConfigError
from cnnjax.files import write_whole
from cnnjax.json_file import read_json
from cnnjax.report.metrics_file import read_metrics
from cnnjax.report.reporters import METRICS
from cnnjax.sweep.plan import PlannedRun
from cnnjax.train.run.metrics import Monitor
from cnnjax.train.run.workdir import CONFIG, stored_settings

NOTE = "outcome.json"
"""Written for a run that failed or was pruned, and removed when it is resumed."""

FINISHED, UNFINISHED, NEW = "finished", "unfinished", "not started"
FAILED, PRUNED = "failed", "pruned"


class Outcome(NamedTuple):
    """What is known about a run.

    Attributes:
        state: ``"finished"``, ``"unfinished"``, ``"not started"``, ``"failed"`` or
            ``"pruned"``.
        reason: why it failed; may be empty.
        best: the record of the best validation by the monitored metric; empty if there
            is none with a finite value.
        validations: the monitored metric of each validation, in order.
        test: the record of the test; empty unless the run is finished.
        seconds: how long it trained.
    """

    state: str
    reason: str = ""
    best: Mapping[str, Any] = {}
    validations: Sequence[float] = ()
    test: Mapping[str, Any] = {}
    seconds: float = 0.0


def read_outcome(run: PlannedRun, folder: Path, monitor: Monitor) -> Outcome:
    """The outcome of a run.

    Args:
        run: as planned; a finished run with other settings counts as unfinished.
        folder: its working directory, which may be missing.
        monitor: the metric that decides.
    """
    try:
        records = read_metrics(folder / METRICS)
    except FileNotFoundError:
        records = []
    except (OSError, ValueError) as error:
        return Outcome(FAILED, str(error))
    validations = [r for r in records if r.get("kind") == "validation"]
    values = [_number(record.get(monitor.name)) for record in validations]
    tests = [r for r in records if r.get("kind") == "test"]
    state, reason = FINISHED, ""
    if not tests or not _has_settings(folder, run):
        state, reason = _read_note(folder)
    return Outcome(
        state,
        reason,
        _best(validations, values, monitor.higher_is_better),
        values,
        tests[-1] if tests else {},
        max((_number(r.get("seconds")) for r in records), default=0.0),
    )


def write_note(folder: Path, state: str, reason: str) -> None:
    """Notes that a run failed or was pruned."""
    text = json.dumps({"state": state, "reason": reason}, indent=2)
    write_whole(folder / NOTE, f"{text}\n")


def remove_note(folder: Path) -> None:
    """Forgets an earlier failure."""
    (folder / NOTE).unlink(missing_ok=True)


def _best(
    records: Sequence[Mapping[str, Any]], values: Sequence[float], highest: bool
) -> Mapping[str, Any]:
    finite = [i for i, value in enumerate(values) if math.isfinite(value)]
    if not finite:
        return {}
    best = max(finite, key=lambda i: values[i] if highest else -values[i])
    return records[best]


def _number(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else math.nan


def _has_settings(folder: Path, run: PlannedRun) -> bool:
    with contextlib.suppress(ConfigError):
        return to_json(stored_settings(folder)) == to_json(run.config)
    return False


def _read_note(folder: Path) -> tuple[str, str]:
    """The state of a run that is not finished, and the reason."""
    try:
        note = read_json(folder / NOTE)
    except (OSError, ValueError):
        note = None
    if isinstance(note, dict) and note.get("state") in (FAILED, PRUNED):
        return note["state"], str(note.get("reason", ""))
    return (UNFINISHED if (folder / CONFIG).exists() else NEW), ""
