"""A state as it is on disk: read without a cast, and fitted to a run's own state."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from cnnjax.optim.optimizers import DECAY, OPTIMIZER
from cnnjax.train.step.state import TrainState, map_named, named_leaves

LINKS = "opt_state."
COUNT = f"{LINKS}{DECAY}.count"


def as_numpy(stored: Any) -> Any:
    """What Orbax is asked for: NumPy arrays of the shapes and dtypes on disk.

    JAX arrays would have the dtypes of this process, and a checksum would then differ
    where ``JAX_ENABLE_X64`` does.
    """
    return jax.tree.map(
        lambda leaf: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape), stored
    )


def leaves_by_name(stored: Any, like: TrainState | None) -> dict[str, Any]:
    """The arrays of a state on disk by the names that this version gives them.

    Older versions numbered the links of the optimizer's chain, and left out those that
    were not in use.

    Args:
        stored: a tree of arrays or of what describes them.
        like: a state of the run; ``None`` leaves the names as they are.
    """
    found = dict(named_leaves(stored))
    if like is None or any(name.startswith(LINKS + DECAY) for name in found):
        return found
    wanted = {name for name, _ in named_leaves(like._asdict())}
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
