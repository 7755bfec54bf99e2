"""What a run writes to disk as it trains: states, and a note that they are there."""

from collections.abc import Mapping
from typing import Any

from cnnjax.train.run.checkpoint import Checkpoints
from cnnjax.train.run.lock import Hold
from cnnjax.train.run.progress import Progress


class Saver:
    """Saves the states of a run.

    Args:
        checkpoints: of the run.
        hold: its working directory.
        batch_size: examples of a step.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        hold: Hold,
        batch_size: int,
    ):
        self._checkpoints = checkpoints
        self._batch_size = batch_size
        self.hold = hold

    def save(
        self,
        arrays: Mapping[str, Any],
        progress: Progress,
        notes: Mapping[str, Any],
    ) -> None:
        """Starts a checkpoint.

        Args:
            arrays: a state by its fields, which must not change from now on.
            progress: how the run stands.
            notes: what the run is, and on what it runs.

        Raises:
            CheckpointError: the working directory is gone.
        """
        self.hold.check()
        step = int(arrays["step"])
        self._checkpoints.best.step = progress.best_step
        self._checkpoints.save(
            step,
            arrays,
            {
                "progress": progress._asdict(),
                "next_example": step * self._batch_size,
                **notes,
            },
        )
        # The save waited for the one before it.
        self._note([older for older in self._checkpoints.steps() if older != step])

    def finish(self) -> None:
        """Waits until everything is on disk, and notes the newest step that is.

        Raises:
            CheckpointError: the last state could not be written, or the working
                directory is gone.
        """
        self._checkpoints.finish()
        self.hold.check()
        self._note(self._checkpoints.steps())

    def _note(self, steps: list[int]) -> None:
        if steps:
            self.hold.note_saved(max(steps))
