"""Checkpoints: states of a run on disk, written by Orbax while training goes on.

Each holds the arrays of the state, and notes: how the run stands (its seconds, its best
validation, ...), its settings, and a checksum of every array. Orbax does not check what
it reads back (a flipped bit changes a value silently), so the checksums are checked
here; a damaged checkpoint is moved aside, and the one before it is taken.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp
from jax.sharding import SingleDeviceSharding
from orbax.checkpoint.checkpoint_managers import preservation_policy as policies

from cnnjax.train.integrity import (
    CheckpointError,
    check_room,
    check_seal,
    check_shapes,
    check_sums,
    checksums,
    seal,
)
from cnnjax.train.processes import agree, is_first, wait_for_all
from cnnjax.train.progress import read_progress
from cnnjax.train.quiet import quieten_orbax
from cnnjax.train.state import TrainState

Notes = dict[str, Any]


class Restored(NamedTuple):
    """The arrays of a state by its fields, with what was noted beside them."""

    arrays: dict[str, Any]
    notes: Notes


@dataclass
class KeepStep:
    """A rule of Orbax: the checkpoint of one step stays; ``None`` for no step."""

    step: int | None = None

    def should_preserve(self, checkpoints: Any, *, context: Any) -> list[bool]:
        """Whether each of the checkpoints stays."""
        return [checkpoint.step == self.step for checkpoint in checkpoints]


class Checkpoints:
    """The checkpoints of one run.

    Kept are the newest ones, the best one, and those of every so many steps.

    Args:
        folder: where they are, one folder a step.
        keep: how many of the newest are kept, 1 or more.
        tell: takes a sentence for people.
        sharding: where restored arrays lie; by default on the first device.
        keep_every: steps; what was saved at a multiple of it stays for good.
        read_only: for a look at a run that another process may be writing.

    Attributes:
        best: the rule that keeps the best checkpoint; set its step before a save.
    """

    def __init__(
        self,
        folder: Path,
        keep: int = 1,
        tell: Callable[[str], None] = print,
        *,
        sharding: jax.sharding.Sharding | None = None,
        keep_every: int | None = None,
        read_only: bool = False,
    ):
        quieten_orbax()
        self.best = KeepStep()
        rules = [policies.LatestN(keep), self.best]
        if keep_every:
            rules.append(policies.EveryNSteps(keep_every))
        self._tell = tell
        self._sharding = sharding or SingleDeviceSharding(jax.local_devices()[0])
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
                preservation_policy=policies.AnyPreservationPolicy(rules),
                cleanup_tmp_directories=not read_only,
                create=not read_only,
                read_only=read_only,
            ),
        )

    def save(self, step: int, arrays: Mapping[str, Any], notes: Notes) -> None:
        """Starts writing a state, and returns while that goes on.

        A failure is told and not raised, when it shows, which may be at the next save:
        what was saved before stays.

        Args:
            step: the state's.
            arrays: the state by its fields, which nobody may change from now on.
            notes: values for JSON.
        """
        self._wait()
        if step in self._manager.all_steps():
            return
        self._step = step
        if not agree(self._finds_room(arrays)):
            return
        try:
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(arrays),
                    notes=ocp.args.JsonSave(
                        seal({**notes, "checksums": checksums(arrays)})
                    ),
                ),
            )
        except Exception as error:  # whatever a disk may do
            self._give_up(error)

    def _finds_room(self, arrays: Mapping[str, Any]) -> bool:
        """Whether the disk has room for a state; tells if it has not."""
        try:
            check_room(self._folder, arrays)
        except OSError as error:
            self._give_up(error)
            return False
        return True

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
        self._tell(
            f"checkpoint of step {self._step} failed, older ones stay and training goes"
            f" on: {_first_line(error)}"
        )
        if is_first():
            for folder in self._folder.glob("*.orbax-checkpoint-tmp"):
                shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Ends the threads that write."""
        try:
            self._manager.close()
        except Exception as error:
            self._tell(f"the last checkpoint may be missing: {error}")

    def steps(self) -> list[int]:
        """The steps whose states are on disk, the newest first."""
        return sorted(self._manager.all_steps(), reverse=True)

    def restore(
        self, like: TrainState | None, step: int | None = None
    ) -> Restored | None:
        """The newest state that is whole; ``None`` where there is none.

        Args:
            like: a state of the same network and optimizer; ``None`` for whatever is
                on disk, its tuples as lists.
            step: of this step alone, instead.

        Raises:
            CheckpointError: a state of another network or optimizer.
        """
        self._wait()
        steps = self.steps()
        for number in steps if step is None else [n for n in steps if n == step]:
            found = self._attempt(number, like)
            if isinstance(found, Restored):
                return found
            self.discard(number, found)
        return None

    def _attempt(self, step: int, like: TrainState | None) -> Restored | str:
        """The state of ``step``, or why it cannot be read."""
        try:
            found: Restored | str = self._read(step, like)
        except CheckpointError:
            raise
        except Exception as error:  # Orbax raises many kinds for damaged files
            found = _first_line(error)
        if agree(isinstance(found, Restored)) or isinstance(found, str):
            return found
        return "another process cannot read it"

    def _read(self, step: int, like: TrainState | None) -> Restored:
        stored: Any = self._manager.item_metadata(step)
        target = stored.state.tree if like is None else like._asdict()
        check_shapes(stored.state.tree, target, self._folder / str(step))
        found: Any = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(self._shapes(target)),
                notes=ocp.args.JsonRestore(),
            ),
        )
        notes = check_seal(found.notes)
        check_sums(found.state, notes.pop("checksums"))
        read_progress(notes)
        return Restored(found.state, notes)

    def _shapes(self, target: Any) -> Any:
        """What Orbax is asked for: shapes, dtypes, and where the arrays shall lie."""

        def shape(leaf):
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self._sharding)

        return jax.tree.map(shape, target)

    def discard(self, step: int, reason: str) -> None:
        """Moves a bad checkpoint aside, if it is there, and tells why."""
        if step not in self.steps():
            return
        if self._read_only:
            self._tell(f"checkpoint of step {step} is damaged ({reason})")
            return
        place = self._folder.parent / "damaged" / str(step)
        while place.exists():
            place = place.with_name(place.name + "+")
        if is_first():
            place.parent.mkdir(exist_ok=True)
            (self._folder / str(step)).rename(place)
        wait_for_all(f"discard {step}")
        self._manager.reload()
        older = "taking the one before it" if self.steps() else "none is left before it"
        self._tell(
            f"checkpoint of step {step} is damaged and was moved to {place}; {older}"
            f" ({reason})"
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
