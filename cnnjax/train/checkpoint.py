"""The trained state on disk, written and read by Orbax."""

from pathlib import Path

import jax
import orbax.checkpoint as ocp

from cnnjax.train.state import TrainState


def save(folder: Path, state: TrainState) -> Path:
    """Writes ``state`` to ``folder/<step>``, whole or not at all; returns the path."""
    path = folder.absolute() / str(int(state.step))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, state._asdict())
    return path


def restore(folder: Path, like: TrainState) -> TrainState:
    """Reads the newest state in ``folder``.

    Args:
        folder: where ``save`` wrote.
        like: a state of the same network and optimizer.

    Raises:
        FileNotFoundError: no complete state is there.
    """
    steps = [int(path.name) for path in folder.glob("*") if path.name.isdigit()]
    if not steps:
        raise FileNotFoundError(f"no finished state in {folder}: train the run first")
    target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like._asdict())
    with ocp.StandardCheckpointer() as checkpointer:
        values = checkpointer.restore(folder.absolute() / str(max(steps)), target)
    return TrainState(**values)
