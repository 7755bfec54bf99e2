"""Checkpoints: states of a run on disk, written by Orbax while training goes on.

Each holds the arrays of the state, and notes: the run's seconds so far, its best
validation loss, and a checksum of every array. Orbax does not check what it reads back
(a flipped bit changes a value silently), so the checksums are checked here; a damaged
checkpoint is moved aside, and the one before it is taken.
"""

import math
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy as policies

from cnnjax.train.quiet import quieten_orbax
from cnnjax.train.state import TrainState

METRIC = "loss"
SPARE_BYTES = 200_000  # for what describes the arrays
Notes = dict[str, Any]


class CheckpointError(RuntimeError):
    """A state that cannot be written, or that is of another network."""


class Restored(NamedTuple):
    """A state read back, with what was noted beside it."""

    state: TrainState
    notes: Notes


class Checkpoints:
    """The checkpoints of one run.

    Kept are the newest ones and the one with the lowest validation loss.

    Args:
        folder: where they are, one folder a step.
        keep: how many of the newest are kept, 1 or more.
        tell: takes a sentence for people.
        read_only: for a look at a run that another process may be writing.
    """

    def __init__(
        self,
        folder: Path,
        keep: int = 1,
        tell: Callable[[str], None] = print,
        *,
        read_only: bool = False,
    ):
        quieten_orbax()
        best = policies.BestN(
            get_metric_fn=lambda metrics: metrics[METRIC],
            reverse=True,
            n=1,
            keep_checkpoints_without_metrics=False,
        )
        self._tell = tell
        self._read_only = read_only
        self._folder = folder.absolute()
        self._step: int | None = None
        self._manager = ocp.CheckpointManager(
            self._folder,
            item_handlers={
                "state": ocp.StandardCheckpointHandler(),
                "notes": ocp.JsonCheckpointHandler(),
            },
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policies.AnyPreservationPolicy(
                    [policies.LatestN(keep), best]
                ),
                best_fn=lambda metrics: metrics[METRIC],
                best_mode="min",
                cleanup_tmp_directories=not read_only,
                create=not read_only,
                read_only=read_only,
            ),
        )

    def save(self, state: TrainState, notes: Notes, loss: float | None = None) -> None:
        """Starts writing ``state``; training goes on once it is copied.

        A failure is told and not raised, when it shows, which may be at the next save:
        what was saved before stays.

        Args:
            state: what to write.
            notes: values for JSON.
            loss: the state's validation loss, if it was taken.
        """
        step = int(state.step)
        self._wait()
        if step in self._manager.all_steps():
            return
        # The next step overwrites the state's own memory.
        arrays = jax.tree.map(lambda x: np.array(x), state._asdict())
        known = loss is not None and math.isfinite(loss)
        self._step = step
        try:
            _check_room(self._folder, arrays)
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(arrays),
                    notes=ocp.args.JsonSave({**notes, "checksums": _checksums(arrays)}),
                ),
                metrics={METRIC: loss} if known else None,
            )
        except Exception as error:  # whatever a disk may do
            self._give_up(error)

    def finish(self) -> None:
        """Waits until everything is on disk.

        Raises:
            CheckpointError: the last state could not be written.
        """
        self._wait()
        steps = self._manager.all_steps()
        if self._step is not None and self._step not in steps:
            raise CheckpointError(
                f"the last state, of step {self._step}, could not be written to"
                f" {self._folder}; whole are those of steps {list(steps)}; make room"
                " and give the same command again"
            )

    def _wait(self) -> None:
        """Waits for the save under way, and tells if it failed."""
        try:
            self._manager.wait_until_finished()
            self._manager.check_for_errors()
        except Exception as error:  # from any thread of Orbax
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Tells of a failed save, and makes room by removing what it left."""
        reason = str(error).strip().partition("\n")[0][:200]
        self._tell(
            f"checkpoint of step {self._step} failed, older ones stay and training goes"
            f" on: {reason}"
        )
        for folder in self._folder.glob("*.orbax-checkpoint-tmp"):
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Ends the threads that write."""
        try:
            self._manager.close()
        except Exception as error:
            self._tell(f"the last checkpoint may be missing: {error}")

    def restore(self, like: TrainState) -> Restored | None:
        """The newest state that is whole; ``None`` where there is none.

        Args:
            like: a state of the same network and optimizer.

        Raises:
            CheckpointError: a state of another network or optimizer.
        """
        for step in sorted(self._manager.all_steps(), reverse=True):
            found = self._attempt(step, like)
            if isinstance(found, Restored):
                return found
            self._set_aside(step, found)
        return None

    def _attempt(self, step: int, like: TrainState) -> Restored | str:
        """The state of ``step``, or why it cannot be read."""
        try:
            return self._read(step, like)
        except CheckpointError:
            raise
        except Exception as error:  # Orbax raises many kinds for damaged files
            return str(error).strip().partition("\n")[0][:200]

    def _read(self, step: int, like: TrainState) -> Restored:
        _check_shapes(self._manager.item_metadata(step), like, self._folder / str(step))
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like._asdict())
        found: Any = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(target), notes=ocp.args.JsonRestore()
            ),
        )
        noted = found.notes.pop("checksums")
        actual = _checksums(found.state)
        wrong = [name for name, value in actual.items() if noted.get(name) != value]
        if wrong:
            raise ValueError(f"the checksum of {wrong[0]} differs")
        return Restored(TrainState(**found.state), found.notes)

    def _set_aside(self, step: int, reason: str) -> None:
        if self._read_only:
            self._tell(f"checkpoint of step {step} is damaged ({reason})")
            return
        place = self._folder.parent / "damaged" / str(step)
        while place.exists():
            place = place.with_name(place.name + "+")
        place.parent.mkdir(exist_ok=True)
        (self._folder / str(step)).rename(place)
        self._manager.reload()
        self._tell(
            f"checkpoint of step {step} is damaged and was moved to {place}; taking the"
            f" one before it ({reason})"
        )


def _check_room(folder: Path, arrays: Any) -> None:
    """Refuses a save that the disk has no room for, before half of it is written."""
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays)) + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            f"the disk of {folder} has {free / 1e6:.1f} MB left, a checkpoint takes up"
            f" to {needed / 1e6:.1f} MB; make room, or lower checkpoint.keep"
        )


def _checksums(arrays: Mapping[str, Any]) -> dict[str, int]:
    return {
        name: zlib.crc32(np.ascontiguousarray(leaf).tobytes())
        for name, leaf in _named_leaves(arrays)
    }


def _check_shapes(metadata: Any, like: TrainState, place: Path) -> None:
    """Refuses a state whose arrays are not those of ``like``."""
    stored = {n: tuple(leaf.shape) for n, leaf in _named_leaves(metadata.state.tree)}
    if not stored:
        raise ValueError("it describes no arrays")
    for name, leaf in _named_leaves(like._asdict()):
        if stored.get(name) != leaf.shape:
            found = stored.get(name, "nothing")
            raise CheckpointError(
                f"{place} is of another network or optimizer: at {name} it holds"
                f" {found}, expected shape {leaf.shape}; use the config of that run, or"
                " another --workdir"
            )


def _named_leaves(tree: Any) -> Iterator[tuple[str, Any]]:
    """Each array with its path, which named tuples and mappings on disk share."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        yield jax.tree_util.keystr(path, simple=True, separator="."), leaf
