"""Going on with a run: what may differ between its config and the command's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnnjax.config import Config, ConfigError
from cnnjax.train.workdir import read_config

# With these changed, the state on disk is of no use, or the run is another one.
FIXED = {
    "model.": "its state is of another network",
    "data.source": "its data are others",
    "optimizer.name": "its state is of another optimizer",
    "seed": "its order of examples is another",
    "batch_size": "its steps count batches of that size",
    "average_decay": "its state holds an average, or holds none",
}

# With these changed, the run goes on, but its numbers are not quite what they were.
INEXACT = {
    "gradients": "in the last digits",
    "precision": "from about the third digit on",
}


def check_config(folder: Path, config: Config) -> list[str]:
    """The settings that differ from those of the run on disk, a line each.

    Args:
        folder: the run's working directory.
        config: what the command asks for.

    Raises:
        ConfigError: a damaged file, or a change after which the state is of no use.
    """
    changes = list(_changes(read_config(folder).to_dict(), config.to_dict()))
    for name, old, new in changes:
        reason = next((why for key, why in FIXED.items() if name.startswith(key)), None)
        if reason and not _is_harmless(name, old, new):
            raise ConfigError(
                f"{folder} holds a run with {name} = {old!r}, and the command says"
                f" {new!r}, but the run cannot go on with that: {reason}; give another"
                " --workdir, or the settings of that run"
            )
    return [_tell(*change) for change in changes]


def _tell(name: str, old: Any, new: Any) -> str:
    where = INEXACT.get(name)
    note = f"; the numbers will differ {where}" if where else ""
    return f"{name}: {old!r} -> {new!r}{note}"


def _is_harmless(name: str, old: Any, new: Any) -> bool:
    """Another rate of averaging will do where an average is kept."""
    return name == "average_decay" and None not in (old, new)


def _changes(old: Any, new: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _changes(a, b, f"{prefix}{key}.")
        elif a != b:
            yield prefix + key, a, b
