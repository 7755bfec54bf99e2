"""What differs between the writer of a checkpoint and this process."""

import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cnnjax import __version__
from cnnjax.config.files import flatten
from cnnjax.errors import CheckpointError
from cnnjax.json_file import read_json

# Settings that the arrays of a state depend on.
SHAPING = ("model.", "optimizer.", "average_decay", "data.", "precision")


def our_versions() -> dict[str, str]:
    """The versions of the packages that write checkpoints here."""
    return {"cnnjax": __version__, "orbax-checkpoint": version("orbax-checkpoint")}


def refuse_newer(checkpoint: Path, reason: str) -> None:
    """Tells a checkpoint that a newer version wrote from a damaged one.

    Args:
        checkpoint: a folder that cannot be read.
        reason: why not.

    Raises:
        CheckpointError: a newer version wrote it.
    """
    try:
        written = read_json(checkpoint / "notes" / "metadata")["versions"]
        newer = [
            f"{name} {written[name]}, newer than {ours} here"
            for name, ours in our_versions().items()
            if _numbers(written[name]) > _numbers(ours)
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return  # it does not say, or is damaged itself
    if newer:
        raise CheckpointError(
            f"{checkpoint} was written by {newer[0]}, and cannot be read ({reason});"
            " install that version, or move the checkpoint away to use the one before"
        )


def _numbers(text: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", text)[:3]]


def changed_settings(notes: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """The settings that shape a state and are not what a checkpoint notes, in words."""
    noted = notes.get("config")
    before = dict(flatten(noted)) if isinstance(noted, Mapping) else {}
    changes = [
        f"{name} was {before.get(name)!r} and is {value!r}"
        for name, value in flatten(settings)
        if before and name.startswith(SHAPING) and before.get(name) != _as_json(value)
    ]
    return ", ".join(changes)


def _as_json(value: Any) -> Any:
    return [*map(_as_json, value)] if isinstance(value, tuple) else value
