"""The files of checkpoints, checked before Orbax opens their folder.

Orbax would wait forever for a named pipe, and its manager does not start where one of
the short files that describe checkpoints is damaged.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy as policies

from cnnjax.errors import CheckpointError
from cnnjax.files import check_regular
from cnnjax.json_file import read_json
from cnnjax.train.run.folder_name import Folder

DESCRIPTION = "_CHECKPOINT_METADATA"
REMOVED = "removed"
"""Where a checkpoint is moved before its files are deleted.

A process that is killed while it deletes leaves no half checkpoint among the others.
"""


def check_files(folder: Path) -> None:
    """Refuses a folder of checkpoints that Orbax cannot open.

    Raises:
        CheckpointError: a file that is not a regular one, or a damaged description of
            a checkpoint, and what to do.
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


def _damaged(place: Path, error: Exception) -> CheckpointError:
    reason = str(error).partition("\n")[0][:200]
    return CheckpointError(
        f"{place} is damaged ({reason}); remove it: the checkpoint is whole without it"
    )


def open_manager(
    folder: Folder, rules: Sequence[Any], *, read_only: bool
) -> ocp.CheckpointManager:
    """Orbax's manager of a folder whose files were checked.

    Args:
        folder: with a name that Orbax can use.
        rules: which checkpoints stay.
        read_only: for a look at a run that another process may be writing.

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
