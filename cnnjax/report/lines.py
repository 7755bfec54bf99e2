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


def log_line(
    record: Mapping[str, Any], *, total_steps: int, width: int | None = None
) -> str:
    """A logged record in one line, aligned with the other records of its run.

    Args:
        record: the argument of a reporter's ``log``; missing fields are left blank.
        total_steps: the length of the run, for the width of the step.
        width: of the terminal in columns; the least important fields are left out.
    """
    kind = str(record["kind"])
    fields = [
        (0, f"{kind:<10}"),
        (1, f"step {step_text(record['step'], total_steps)}"),
        (4, _field(record, "epoch", "epoch {:6.2f}")),
        (2, _field(record, "loss", "loss {:8.4f}")),
        (3, _field(record, "accuracy", "accuracy {:7.2%}")),
        *_own_fields(record),
        (6, _field(record, "seconds", "{:8.1f} s")),
        (5, _field(record, "images_per_second", "{:9,.0f} images/s")),
        (7, _field(record, "learning_rate", "lr {:.3g}")),
    ]
    return fit(fields, width)


def _own_fields(record: Mapping[str, Any]) -> list[tuple[int, str]]:
    """The user's own metrics, which only an evaluation has."""
    if record["kind"] == "train":
        return []
    own = [name for name in record if name not in _KNOWN]
    return [(8, f"{name} {record[name]:8.4f}") for name in own]


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


def fit(fields: Iterable[tuple[int, str]], width: int | None) -> str:
    """As many of the fields as fit in a line, in their order.

    Args:
        fields: a rank and a text each; the highest ranks are left out first.
        width: of the line in columns; ``None`` for any width.
    """
    kept = list(fields)
    line = GAP.join(text for _, text in kept).rstrip()
    if width is None or len(line) <= width:
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
