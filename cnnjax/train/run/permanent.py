"""Which checkpoints stay: rules that Orbax asks before it deletes."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnjax.json_file import read_json

MARK = "permanent"


@dataclass
class KeepStep:
    """A rule of Orbax: the checkpoint of one step stays; ``None`` for no step."""

    step: int | None = None

    def should_preserve(self, checkpoints: Any, *, context: Any) -> list[bool]:
        """Whether each of the checkpoints stays."""
        return [checkpoint.step == self.step for checkpoint in checkpoints]


class KeepPermanent:
    """A rule of Orbax: what was marked as permanent when it was written stays.

    The mark is in the checkpoint's own notes, so it is written together with it and
    does not depend on later settings.

    Args:
        every: steps; the checkpoint of a multiple of it is permanent.
    """

    def __init__(self, every: int | None):
        self._every = every
        self._steps: set[int] = set()

    def read(self, folder: Path, steps: Iterable[int]) -> None:
        """Reads the marks of checkpoints on disk."""
        self._steps = {step for step in steps if is_marked(folder / str(step))}

    def mark(self, step: int) -> bool:
        """Whether the checkpoint of a step that is about to be saved is permanent."""
        if self._is_due(step):
            self._steps.add(step)
        return step in self._steps

    def should_preserve(self, checkpoints: Any, *, context: Any) -> list[bool]:
        """Whether each of the checkpoints stays."""
        return [c.step in self._steps or self._is_due(c.step) for c in checkpoints]

    def _is_due(self, step: int) -> bool:
        return bool(self._every) and step % self._every == 0


def is_marked(checkpoint: Path) -> bool:
    """Whether a checkpoint on disk is permanent.

    One without a mark is of an older version, and stays if its run kept any for good;
    one whose notes cannot be read stays.
    """
    try:
        notes = read_json(checkpoint / "notes" / "metadata")
        if MARK in notes:
            return bool(notes[MARK])
        return notes["config"]["checkpoint"]["keep_every"] is not None
    except (OSError, ValueError, KeyError, TypeError):
        return True
