"""Resuming a run: what may differ between its settings and the command's."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnnjax.config import Config
from cnnjax.errors import ConfigError

# With these changed, the state on disk is of no use, or the run is another one.
FIXED = {
    "model.": "its state is of another network",
    "data.source": "its data are others",
    "optimizer.name": "its state is of another optimizer",
    "seed": "its order of examples is another",
    "batch_size": "its steps count batches of that size",
    "average_decay": "its state holds an average, or holds none",
}

# With these changed, the run is resumed, but its numbers are not quite what they were.
INEXACT = {
    "gradients": "in the last digits",
    "precision": "from about the third digit on",
}

# These decide where and how often something is done, and never change the results.
HARMLESS = (
    "checkpoint.",
    "compilation_cache",
    "devices",
    "eval_batch_size",
    "log_every",
    "parallel",
    "shard_optimizer",
)


class Change(NamedTuple):
    """A setting that differs between a run and a command."""

    name: str
    old: Any
    new: Any

    def __str__(self) -> str:
        where = INEXACT.get(self.name)
        note = f"; the numbers will differ {where}" if where else ""
        return f"{self.name}: {self.old!r} -> {self.new!r}{note}"


def find_changes(old: Config, new: Config) -> list[Change]:
    """The settings that differ, in the order of their names."""
    return list(_changes(old.to_dict(), new.to_dict()))


def _changes(old: Mapping, new: Mapping, prefix: str = "") -> Iterator[Change]:
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _changes(a, b, f"{prefix}{key}.")
        elif a != b:
            yield Change(prefix + key, a, b)


def check_changes(folder: Path, changes: Sequence[Change]) -> None:
    """Refuses changes after which the state on disk is of no use.

    Args:
        folder: the run's working directory.
        changes: from its settings to those of the command.

    Raises:
        ConfigError: the first such change.
    """
    for change in changes:
        if reason := why_fixed(change):
            raise ConfigError(
                f"{folder} holds a run with {change.name} = {change.old!r}, and the"
                f" command says {change.new!r}, but the run cannot be resumed with"
                f" that: {reason}; give another --workdir, or the settings of that run"
            )


def why_fixed(change: Change) -> str | None:
    """Why a setting may not change; ``None`` if it may."""
    if change.name == "average_decay" and None not in change[1:]:
        return None  # the rate may change where an average is kept
    return next(
        (why for key, why in FIXED.items() if change.name.startswith(key)), None
    )


def check_finished(
    changes: Sequence[Change],
    *,
    done: int,
    total: int,
    stopped_early: bool,
    run: Path,
    is_new: bool,
) -> None:
    """Refuses a command that expects something new from a finished run.

    Args:
        changes: from the settings that the run was trained with to the command's.
        done: steps that the run took.
        total: steps that the command asks for.
        stopped_early: whether it was early stopping that ended the run.
        run: its folder.
        is_new: whether the command asks for another run that branches off this one.

    Raises:
        ConfigError: with the changes that have no effect, and what to do.
    """
    idle = [
        change
        for change in changes
        if not change.name.startswith(HARMLESS)
        and (change.name != "duration" or total != done)
    ]
    if not idle and not is_new:
        return
    how, longer = f"after {done} steps", "set a longer duration"
    if total == done:
        how = f"{done} of {total} steps"
    elif stopped_early:
        how = f"stopped early after {done} of {total} steps"
        longer = "raise early_stopping.patience"
    what = ", ".join(f"{c.name} changed from {c.old!r} to {c.new!r}" for c in idle)
    verb = "has" if len(idle) == 1 else "have"
    effect = f"{what} {verb} no effect" if idle else "there is nothing left to train"
    other = "another --workdir" if not is_new else "an earlier checkpoint to --resume"
    raise ConfigError(
        f"this run is finished ({run}: {how}): {effect}; {longer} to continue it, or"
        f" give {other}" + ("" if is_new else " to start a new run")
    )
