"""Orbax's manager of a folder of checkpoints: what it may open, keep and say.

Orbax would wait forever for a named pipe, and its manager does not start if one of the
short files that describe checkpoints is damaged; so files are checked before. Rules
tell it which checkpoints stay.
"""

import json
import logging
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy as policies

from cnnjax.errors import CheckpointError
from cnnjax.files import check_regular
from cnnjax.json_file import read_json
from cnnjax.train.run.folder_name import Folder

MARK = "permanent"
DESCRIPTION = "_CHECKPOINT_METADATA"
REMOVED = "removed"
"""Where a checkpoint is moved before its files are deleted.

A process that is killed while it deletes leaves no half checkpoint among the others.
"""
COROUTINE, CLOSED = "_read_array_index_and_device_put", "Event loop is closed"
UNAWAITED = r"coroutine '\w*(Checkpoint|Handler|Save|_save|_read|_write)\S*' was never"


def check_files(folder: Path) -> None:
    """Refuses a folder of checkpoints that Orbax cannot open.

    Raises:
        CheckpointError: a file that is not a regular one, or a damaged description of
            a checkpoint.
    """
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            try:
                check_regular(path)
                if path.name == DESCRIPTION:
                    _check_description(path)
            except FileNotFoundError:  # another process is removing a checkpoint
                continue
            except OSError as error:
                raise CheckpointError(
                    f"{error}; move its checkpoint away, and the one before it is used"
                ) from error
            except ValueError as error:
                raise _damaged(path, error) from error


def _check_description(path: Path) -> None:
    try:
        read_json(path)
    except json.JSONDecodeError:  # which Orbax ignores, like a missing file
        return


def _damaged(path: Path, error: Exception) -> CheckpointError:
    reason = str(error).partition("\n")[0][:200]
    return CheckpointError(
        f"{path} is damaged ({reason}); remove it: the checkpoint is whole without it"
    )


def open_manager(
    folder: Folder, rules: Sequence[Any], *, read_only: bool
) -> ocp.CheckpointManager:
    """Orbax's manager of a folder whose files were checked.

    Args:
        folder: with a name that Orbax can use.
        rules: which checkpoints stay.
        read_only: to look at a run that another process may be writing.

    Raises:
        CheckpointError: a description of a checkpoint that is JSON, but not Orbax's.
    """
    try:
        return ocp.CheckpointManager(
            folder.name,
            item_handlers={
                "state": ocp.StandardCheckpointHandler(),
                "notes": ocp.JsonCheckpointHandler(),
            },
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policies.AnyPreservationPolicy(rules),
                cleanup_tmp_directories=not read_only,
                todelete_subdir=None if read_only else REMOVED,
                create=not read_only,
                read_only=read_only,
            ),
        )
    except (TypeError, ValueError) as error:
        raise _damaged(folder.path / "*" / DESCRIPTION, error) from error


@dataclass
class KeepStep:
    """A rule of Orbax: keep the checkpoint of one step; ``None`` for no step."""

    step: int | None = None

    def should_preserve(self, checkpoints: Any, *, context: Any) -> list[bool]:
        """Whether each of the checkpoints stays."""
        return [checkpoint.step == self.step for checkpoint in checkpoints]


class KeepPermanent:
    """A rule of Orbax: keep what was marked as permanent when it was written.

    The mark is in the checkpoint's own notes, so it is written together with it and
    does not depend on later settings.

    Args:
        every: steps; a checkpoint of a multiple of it is permanent.
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

    An older version wrote no mark; such a checkpoint stays if its run kept any for
    good. One whose notes cannot be read stays.
    """
    try:
        notes = read_json(checkpoint / "notes" / "metadata")
        if MARK in notes:
            return bool(notes[MARK])
        return notes["config"]["checkpoint"]["keep_every"] is not None
    except (OSError, ValueError, KeyError, TypeError):
        return True


def quieten_orbax() -> None:
    """Hides what Orbax's threads say after a failure that is reported already.

    If one array cannot be read or written, Orbax closes the event loop and abandons the
    coroutines and callbacks of the other arrays; each of them then complains to Python
    that the loop is closed, with a traceback, at some later moment. If a save fails
    before it began, its coroutines were never awaited, and Python warns about that.
    """
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", UNAWAITED, RuntimeWarning)
    if getattr(sys.unraisablehook, "passes_over_orbax", False):
        return
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        loop_closed = CLOSED in str(unraisable.exc_value)
        if not loop_closed and COROUTINE not in repr(unraisable.object):
            before(unraisable)

    hook.passes_over_orbax = True
    sys.unraisablehook = hook
