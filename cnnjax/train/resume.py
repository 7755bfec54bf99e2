"""Going on with a run: what may differ between its config and the command's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnnjax.config import Config, ConfigError
from cnnjax.config_file import from_json

# With these changed, the state on disk is of no use, or the run is another one.
FIXED = ("model.", "data.source", "optimizer.name", "seed")


def check_config(path: Path, config: Config) -> list[str]:
    """The settings that differ from those of the run on disk, a line each.

    Args:
        path: the run's ``config.json``.
        config: what the command asks for.

    Raises:
        ConfigError: a damaged file, or a change after which the state is of no use.
    """
    try:
        stored = from_json(path.read_text())
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}; give another --workdir") from error
    changes = list(_changes(stored.to_dict(), config.to_dict()))
    for name, old, new in changes:
        if name.startswith(FIXED):
            raise ConfigError(
                f"{path.parent} holds a run with {name} = {old!r}, and the command"
                f" says {new!r}: its state cannot go on with that; give another"
                " --workdir, or the settings of that run"
            )
    return [f"{name}: {old!r} -> {new!r}" for name, old, new in changes]


def _changes(old: Any, new: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _changes(a, b, f"{prefix}{key}.")
        elif a != b:
            yield prefix + key, a, b
