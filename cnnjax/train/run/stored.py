"""Reading a state from disk: checked, without a cast, and under today's names."""

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from cnnjax.optim.optimizers import DECAY, GROUPS, OPTIMIZER
from cnnjax.train.run.freezing import TRAINED
from cnnjax.train.run.integrity import (
    changed_settings,
    check_arrays,
    check_seal,
    check_sums,
)
from cnnjax.train.run.progress import read_progress
from cnnjax.train.step.state import TrainState, map_named, named_leaves

LINKS = "opt_state."
COUNT = f"{LINKS}{DECAY}.count"
TRAINED_GROUP = f"{LINKS}{GROUPS}.inner_states.{TRAINED}.inner_state."


class Restored(NamedTuple):
    """The arrays of a state by its fields, with what was noted beside them."""

    arrays: dict[str, Any]
    notes: dict[str, Any]


def read_state(
    manager: ocp.CheckpointManager,
    step: int,
    like: TrainState | None,
    checkpoint: Path,
    settings: Mapping[str, Any],
) -> Restored:
    """Reads one checkpoint.

    Args:
        manager: of the folder of all checkpoints.
        step: which of them.
        like: a state of the same network and optimizer; ``None`` for whatever is on
            disk, its tuples as lists.
        checkpoint: its folder, for messages.
        settings: of the run, for the message if the state does not match them.

    Raises:
        CheckpointError: a state of another network or optimizer.
        Exception: of many kinds, from Orbax or from here, if it is damaged.
    """
    found: Any = manager.restore(
        step, args=ocp.args.Composite(notes=ocp.args.JsonRestore())
    )
    notes = check_seal(found.notes)
    read_progress(notes)
    metadata: Any = manager.item_metadata(step)
    stored = metadata.state.tree
    if like is not None:
        check_arrays(
            leaves_by_name(stored, like),
            dict(named_leaves(like._asdict())),
            checkpoint,
            changed_settings(notes, settings),
        )
    found = manager.restore(
        step,
        args=ocp.args.Composite(state=ocp.args.StandardRestore(_as_numpy(stored))),
    )
    check_sums(found.state, notes.pop("checksums"))
    if like is None:
        return Restored(found.state, notes)
    return Restored(fit(leaves_by_name(found.state, like), like), notes)


def _as_numpy(stored: Any) -> Any:
    """What Orbax is asked for: NumPy arrays of the shapes and dtypes on disk.

    JAX arrays would have the dtypes of this process, and a checksum would then differ
    where ``JAX_ENABLE_X64`` does.
    """
    return jax.tree.map(
        lambda leaf: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape), stored
    )


def leaves_by_name(stored: Any, like: TrainState | None) -> dict[str, Any]:
    """The arrays of a state on disk by the names that this version gives them.

    Older versions numbered the links of the optimizer's chain, left out those that were
    not in use, and had an optimizer state for frozen parameters, too.

    Args:
        stored: a tree of arrays or of what describes them.
        like: a state of the run; ``None`` leaves the names as they are.
    """
    found = dict(named_leaves(stored))
    if like is None:
        return found
    wanted = {name for name, _ in named_leaves(like._asdict())}
    groups = LINKS + GROUPS
    has_groups = any(name.startswith(groups) for name in found)
    if has_groups or not any(name.startswith(groups) for name in wanted):
        return _with_named_links(found, wanted)
    ungrouped = {name.replace(TRAINED_GROUP, LINKS) for name in wanted}
    named = _with_named_links(found, ungrouped)
    return {
        name.replace(LINKS, TRAINED_GROUP): leaf
        for name, leaf in named.items()
        if name in ungrouped or not name.startswith(LINKS)
    }


def _with_named_links(found: dict[str, Any], wanted: Set[str]) -> dict[str, Any]:
    """The arrays with names in place of the numbers of the optimizer's links."""
    if any(name.startswith(LINKS + DECAY) for name in found):
        return found
    for number in range(3):
        renamed = {_rename(name, number): leaf for name, leaf in found.items()}
        # The count of the decay is that of the steps.
        renamed.setdefault(COUNT, found.get("step"))
        if renamed.keys() == wanted:
            return renamed
    return found


def _rename(name: str, number: int) -> str:
    """The name of an array of the optimizer, where that was link ``number``."""
    if name == f"{LINKS}{number + 1}.count":
        return COUNT
    old = f"{LINKS}{number}."
    if name.startswith(old):
        return f"{LINKS}{OPTIMIZER}.{name[len(old) :]}"
    return name


def fit(arrays: Mapping[str, Any], like: TrainState) -> dict[str, Any]:
    """The arrays of ``leaves_by_name`` as the fields of a state like ``like``."""
    return map_named(lambda name, _: arrays[name], like)._asdict()
