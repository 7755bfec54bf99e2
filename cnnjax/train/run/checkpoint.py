"""Checkpoints: states of a run on disk, written by Orbax while training continues.

Each holds the arrays of the state, and notes: the progress of the run (its seconds, its
best validation, ...), its settings, and a checksum of every array. Orbax does not check
what it reads back (a flipped bit changes a value silently), so this is done here.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy as policies

from cnnjax.errors import CheckpointError
from cnnjax.train.machine.processes import agree, is_first, wait_for_all
from cnnjax.train.run.folder_name import Folder
from cnnjax.train.run.integrity import (
    check_room,
    none_is_whole,
    refuse_newer,
    seal,
)
from cnnjax.train.run.lock import Hold
from cnnjax.train.run.manager import (
    MARK,
    REMOVED,
    KeepPermanent,
    KeepStep,
    check_files,
    open_manager,
    quieten_orbax,
)
from cnnjax.train.run.stored import Restored, read_state
from cnnjax.train.step.state import TrainState

MOST_FAILURES = 5  # of the parts of one save


class Checkpoints:
    """The checkpoints of one run.

    It keeps the newest ones, the best one, and one every ``keep_every`` steps.

    Args:
        folder: where they are, in one folder per step.
        keep: how many of the newest are kept, 1 or more.
        tell: takes a sentence for people.
        keep_every: steps; a checkpoint saved at a multiple of it is kept for good,
            even if a later part of the run has another ``keep_every``.
        settings: of the run, for the message if a state does not match them.
        read_only: to look at a run that another process may be writing.
        tell_saved: called with the step and the folder of each complete checkpoint.
        hold: the locked working directory, which notes what is on disk.
    """

    def __init__(
        self,
        folder: Path,
        keep: int = 1,
        tell: Callable[[str], None] = print,
        *,
        keep_every: int | None = None,
        settings: Mapping[str, Any] | None = None,
        read_only: bool = False,
        tell_saved: Callable[[int, str], None] | None = None,
        hold: Hold | None = None,
    ):
        quieten_orbax()
        self._best = KeepStep()
        self._permanent = KeepPermanent(keep_every)
        rules = [policies.LatestN(keep), self._best, self._permanent]
        self._hold = hold
        self._tell = tell
        self._tell_saved = tell_saved
        self._settings = settings or {}
        self._read_only = read_only
        self._folder = folder.absolute()
        self._step: int | None = None
        self._in_flight: int | None = None  # the same, until its save has ended
        self._failed = False  # the last save
        self._named = Folder(self._folder, create=not read_only)
        self._delete_removed()
        check_files(self._folder)
        self._manager = open_manager(self._named, rules, read_only=read_only)
        if not read_only:
            self._permanent.read(self._folder, self._manager.all_steps())

    def save(
        self,
        step: int,
        arrays: Mapping[str, Any],
        notes: Mapping[str, Any],
        best_step: int | None = None,
    ) -> None:
        """Starts writing a state, and returns before that is done.

        A failure is reported and not raised, as soon as it shows, which may be at the
        next save: what was saved before stays.

        Args:
            step: the state's.
            arrays: the state by its fields, which nobody may change from now on.
            notes: values for JSON.
            best_step: whose checkpoint stays because it is the best.

        Raises:
            CheckpointError: the working directory is gone.
        """
        if self._hold:
            self._hold.check()
        self._best.step = best_step
        self._wait()
        if step not in self._manager.all_steps():
            self._step = self._in_flight = step
            if agree(self._finds_room(arrays)):
                self._start(step, arrays, notes)
        self._note_saved([older for older in self.steps() if older != step])

    def _start(
        self, step: int, arrays: Mapping[str, Any], notes: Mapping[str, Any]
    ) -> None:
        sealed = seal({**notes, MARK: self._permanent.mark(step)}, arrays)
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(arrays), notes=ocp.args.JsonSave(sealed)
        )
        # After a failed save, Orbax may raise the error of another part of it here: its
        # manager stops waiting for the parts at the first error.
        attempts = 2 if self._failed else 1
        self._failed = False
        for attempt in range(attempts):
            try:
                self._manager.save(step, args=args)
                return
            except Exception as error:  # whatever a disk may do
                if attempt == attempts - 1:
                    self._give_up(error)

    def _finds_room(self, arrays: Mapping[str, Any]) -> bool:
        """Whether the disk has room for a state; reports it if not."""
        try:
            check_room(self._folder, arrays)
        except OSError as error:
            self._give_up(error)
            return False
        return True

    def finish(self) -> None:
        """Waits until everything is on disk.

        Raises:
            CheckpointError: the last state could not be written, or the working
                directory is gone.
        """
        self._wait()
        steps = self._manager.all_steps()
        if self._step is not None and self._step not in steps:
            raise CheckpointError(
                f"the last state, of step {self._step}, could not be written to"
                f" {self._folder}; the intact checkpoints are those of steps"
                f" {list(steps)}; make room and rerun the same command"
            )
        if self._hold:
            self._hold.check()
        self._note_saved(self.steps())

    def _note_saved(self, steps: Sequence[int]) -> None:
        if self._hold and steps:
            self._hold.note_saved(max(steps))

    def _wait(self) -> None:
        """Waits for the save in flight, and reports its failure."""
        failure = None
        for _ in range(MOST_FAILURES):  # one part may fail after another
            try:
                self._manager.wait_until_finished()
                self._manager.check_for_errors()
                break
            except Exception as error:  # from any thread of Orbax
                failure = failure or error
        if failure:
            self._give_up(failure)
        self._delete_removed()
        step, self._in_flight = self._in_flight, None
        if self._tell_saved and step is not None and step in self.steps():
            self._tell_saved(step, str(self._folder / str(step)))

    def _delete_removed(self) -> None:
        """Deletes the files of checkpoints that are no longer kept."""
        if is_first() and not self._read_only:
            shutil.rmtree(self._folder / REMOVED, ignore_errors=True)

    def _give_up(self, error: Exception) -> None:
        """Reports a failed save, and makes room by removing what it left."""
        self._failed = True
        self._tell(
            f"saving the checkpoint of step {self._step} failed; older ones are kept,"
            f" and training continues: {self._first_line(error)}"
        )
        if is_first():
            for folder in self._folder.glob("*.orbax-checkpoint-tmp"):
                shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Ends the threads that write."""
        try:
            self._manager.close()
        except Exception as error:
            self._tell(f"the last checkpoint may be missing: {self._first_line(error)}")
        self._delete_removed()
        self._named.close()

    def steps(self) -> list[int]:
        """The steps whose states are on disk, the newest first."""
        return sorted(self._manager.all_steps(), reverse=True)

    def restore(
        self,
        like: TrainState | None,
        step: int | None = None,
        *,
        has_another: bool = False,
    ) -> Restored | None:
        """The newest state that is whole; ``None`` if none was saved.

        Damaged ones are moved away only once another one was read: otherwise this
        process may be at fault.

        Args:
            like: a state of the same network and optimizer; ``None`` for whatever is
                on disk, its tuples as lists.
            step: of this step alone, instead.
            has_another: whether the caller has another state to use, so that a damaged
                one gives ``None``.

        Returns:
            The state, in NumPy arrays.

        Raises:
            CheckpointError: a state of another network or optimizer, or no state that
                can be read.
        """
        self._wait()
        steps = self.steps()
        damaged: dict[int, str] = {}
        wanted = steps if step is None else [n for n in steps if n == step]
        whole: Restored | None = None
        for number in wanted:
            found = self._attempt(number, like)
            if isinstance(found, Restored):
                whole = found
                break
            damaged[number] = found
        if damaged and not whole and not has_another:
            raise none_is_whole(self._folder, damaged)
        for bad, reason in damaged.items():
            self.discard(bad, reason)
        return whole

    def _attempt(self, step: int, like: TrainState | None) -> Restored | str:
        """The state of ``step``, or why it cannot be read."""
        try:
            found: Restored | str = read_state(
                self._manager, step, like, self._folder / str(step), self._settings
            )
        except CheckpointError:
            raise
        except Exception as error:  # Orbax raises many kinds for damaged files
            found = self._first_line(error)
            refuse_newer(self._folder / str(step), found)
        if agree(isinstance(found, Restored)) or isinstance(found, str):
            return found
        return "another process cannot read it"

    def discard(self, step: int, reason: str) -> None:
        """Moves a bad checkpoint aside, if it is there, and reports why."""
        if step not in self.steps():
            return
        if self._read_only:
            self._tell(f"checkpoint of step {step} is damaged ({reason})")
            return
        target = self._folder.parent / "damaged" / str(step)
        while target.exists():
            target = target.with_name(target.name + "+")
        if is_first():
            target.parent.mkdir(exist_ok=True)
            (self._folder / str(step)).rename(target)
        wait_for_all(f"discard {step}")
        self._manager.reload()
        older = "taking the one before it" if self.steps() else "none is left before it"
        self._tell(
            f"checkpoint of step {step} is damaged and was moved to {target}; {older}"
            f" ({reason})"
        )

    def _first_line(self, error: Exception) -> str:
        """The message of an error, shortened, with the folder's name for people."""
        line = str(error).strip().partition("\n")[0]
        return self._named.in_words(line)[:200] or type(error).__name__
