"""Records of a training run as lines of text."""

from collections.abc import Iterable, Mapping
from typing import Any

GAP = "  "
_KNOWN = ("accuracy", "epoch", "examples", "kind", "loss", "seconds", "step")


def header(info: Mapping[str, Any]) -> list[str]:
    """A description of a run in a few short lines.

    Args:
        info: the argument of a reporter's ``start``.
    """
    return [
        f"{info['name']}: {info['parameters']:,} parameters on {info['device']}",
        f"{info['examples']:,} examples, batch size {info['batch_size']:,}, "
        f"{info['epochs']:.6g} epochs = {info['total_steps']:,} steps",
        f"working directory {info['workdir']}",
    ]


def log_line(record: Mapping[str, Any], *, total_steps: int) -> str:
    """A logged record in one line, aligned with the other records of its run.

    Args:
        record: the argument of a reporter's ``log``; missing fields are left blank.
        total_steps: the length of the run, for the width of the step.
    """
    return GAP.join(_fields(record, total_steps)).rstrip()


def log_lines(record: Mapping[str, Any], total_steps: int, width: int) -> list[str]:
    """All of a logged record in as many lines as it needs.

    Args:
        record: the argument of a reporter's ``log``; missing fields are left out.
        total_steps: the length of the run, for the width of the step.
        width: of the terminal in columns; a longer field is not broken.
    """
    first, *fields = [f for f in _fields(record, total_steps) if f.strip()]
    lines = [first]
    for field in fields:
        if len(lines[-1]) + len(GAP) + len(field) <= width:
            lines[-1] += GAP + field
        else:
            lines.append(GAP + field)
    return lines


def _fields(record: Mapping[str, Any], total_steps: int) -> list[str]:
    kind = str(record["kind"])
    return [
        f"{kind:<10}",
        f"step {step_text(record['step'], total_steps)}",
        _field(record, "epoch", "epoch {:6.2f}"),
        _field(record, "loss", "loss {:8.4f}"),
        _field(record, "accuracy", "accuracy {:7.2%}"),
        *_own_fields(record),
        _field(record, "seconds", "{:8.1f} s"),
        _field(record, "images_per_second", "{:9,.0f} images/s"),
        _field(record, "learning_rate", "lr {:.3g}"),
    ]


def _own_fields(record: Mapping[str, Any]) -> list[str]:
    """The user's own metrics, which only an evaluation has."""
    if record["kind"] == "train":
        return []
    own = [name for name in record if name not in _KNOWN]
    return [f"{name} {record[name]:8.4f}" for name in own]


def step_text(step: int, total_steps: int) -> str:
    """A step and the number of steps, such as ``" 40/1000"``, in a fixed width."""
    total = str(total_steps)
    return f"{step:>{len(total)}}/{total}"


def duration_text(seconds: float) -> str:
    """A duration as ``h:mm:ss``, or ``m:ss`` below an hour."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{seconds:02}"
    return f"{minutes}:{seconds:02}"


def fit(fields: Iterable[tuple[int, str]], width: int) -> str:
    """As many of the fields as fit in a line, in their order.

    Args:
        fields: a rank and a text each; the highest ranks are left out first.
        width: of the line in columns.
    """
    kept = list(fields)
    line = GAP.join(text for _, text in kept).rstrip()
    if len(line) <= width:
        return line
    if len(kept) == 1:
        return line[:width]
    kept.remove(max(kept))
    return fit(kept, width)


def _field(record: Mapping[str, Any], key: str, form: str) -> str:
    value = record.get(key)
    if value is None:
        return " " * len(form.format(0))
    return form.format(value)
