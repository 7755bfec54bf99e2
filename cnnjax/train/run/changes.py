"""What may differ between a run on disk and the command that resumes it.

That is settings, data and normalization; a checkpoint notes all three.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnnjax.config import Config
from cnnjax.config.files import from_json
from cnnjax.data import Dataset
from cnnjax.data.normalization import Normalization, as_lists
from cnnjax.errors import ConfigError, UnknownSettingError
from cnnjax.train.run import data_identity
from cnnjax.train.run.experiment import Experiment
from cnnjax.train.run.workdir import NORMALIZATION, of_newer_version

# If one of these changes, the state on disk is useless, or the run is another one.
FIXED = {
    "model.": "its state belongs to another network",
    "optimizer.name": "its state belongs to another optimizer",
    "data.mean": "its network learned from images with another mean",
    "data.std": "its network learned from images with another standard deviation",
    "seed": "its order of examples is different",
    "batch_size": "its steps count batches of that size",
    "average_decay": "its state holds an average only if this is set",
    "freeze": "its optimizer has a state only for what is trained",
    "unfreeze": "its optimizer has a state for each of these stages",
}

# If one of these changes, the run is resumed, but its numbers differ slightly.
INEXACT = {
    "gradients": "in the last digits",
    "precision": "from about the third digit",
}

# These decide where and how often something happens, and never change the results.
HARMLESS = (
    "checkpoint.",
    "compilation_cache",
    "data.cache",
    "data.cache_folder",
    "data.on_device",
    "data.source",  # whose data is compared
    "data.worker_processes",
    "data.workers",
    "deterministic",
    "devices",
    "eval_batch_size",
    "log_every",
    "parallel",
    "report",
    "report_every",
    "shard_optimizer",
    "steps_per_call",
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
    """Refuses changes that make the state on disk useless.

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
                f" command says {change.new!r}, with which the run cannot be resumed:"
                f" {reason}; give another --workdir, or use the settings of that run"
            )


def why_fixed(change: Change) -> str | None:
    """Why a setting must not change; ``None`` if it may."""
    if change.name == "average_decay" and None not in change[1:]:
        return None  # the rate may change while an average is kept
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
        is_new: whether the command asks for a new run that branches off this one.

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


def describe_run(
    config: Config, experiment: Experiment, identity: data_identity.Identity
) -> dict[str, Any]:
    """The settings, normalization and data of a run, as values for JSON."""
    return {
        "config": config.to_dict(),
        "normalization": as_lists(experiment.normalization),
        "data": identity,
    }


def check_noted(
    notes: Mapping[str, Any],
    checkpoint: Path,
    normalization: Normalization,
    identity: data_identity.Identity,
    dataset: Dataset,
) -> None:
    """Refuses a normalization or data that the checkpoint was not trained with.

    Older checkpoints note less; missing values are not compared.

    Args:
        notes: of the checkpoint.
        checkpoint: its folder.
        normalization: of the run's file, or measured again if that is missing.
        identity: of the data as it is now.
        dataset: that data.

    Raises:
        ConfigError: the first difference, or damaged notes.
    """
    run = checkpoint.parent.parent
    try:
        if "normalization" in notes:
            _check_normalization(notes["normalization"], checkpoint, normalization)
        if "data" in notes:
            data_identity.check(notes["data"], identity, dataset, run)
    except ConfigError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"the notes of {checkpoint} are damaged ({error})") from error


def _check_normalization(
    noted: Any, checkpoint: Path, normalization: Normalization
) -> None:
    for name, found in as_lists(normalization).items():
        for channel, (now, then) in enumerate(zip(found, noted[name], strict=True)):
            if now != then:
                raise ConfigError(
                    f"{checkpoint.parent.parent / NORMALIZATION} gives {name} {now} for"
                    f" channel {channel}, but {checkpoint} was trained with {then};"
                    " restore the file"
                )


def noted_config(notes: Mapping[str, Any], checkpoint: Path) -> Config | None:
    """The settings that a checkpoint was saved with; ``None`` if it does not say.

    Raises:
        ConfigError: settings of a newer version, or invalid ones.
    """
    if not isinstance(notes.get("config"), Mapping):
        return None
    try:
        return from_json(json.dumps(notes["config"]))
    except UnknownSettingError as error:
        raise ConfigError(of_newer_version(checkpoint, error)) from error
    except ConfigError as error:
        raise ConfigError(f"the notes of {checkpoint} are damaged ({error})") from error
