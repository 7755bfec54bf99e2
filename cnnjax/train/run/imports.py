"""The modules that a run's settings name: recorded, and imported again later.

``imports.json`` in the working directory lists them with their folders and hashes.
Whoever made a run on disk may have written anything there, so that a module is only
imported from outside the working directory, and only functions defined in it are
called.
"""

import hashlib
import inspect
import json
import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

from flax import linen as nn

from cnnjax.config import Config
from cnnjax.config.import_path import (
    find_own,
    is_import_path,
    is_installed,
    make_importable,
    resolve,
    split,
)
from cnnjax.data.sources import own_path
from cnnjax.errors import ConfigError
from cnnjax.files import write_whole
from cnnjax.json_file import read_json
from cnnjax.streams import warn
from cnnjax.train.run.workdir import stored_settings

NAME = "imports.json"
_EXPECTED = "what was recorded when the run was trained"


def named_paths(config: Config) -> list[tuple[str, str]]:
    """The settings that name a user's own code, each with an import path."""
    named = [
        ("model.name", config.model.name),
        ("data.source", own_path(config.data.source) or ""),
        ("loss.name", config.loss.name),
        ("optimizer.name", config.optimizer.name),
        ("schedule.name", config.schedule.name),
        *(("data.augment", path) for path in config.data.augment),
        *(("metrics", path) for path in config.metrics),
        *(("report", path) for path in config.report),
    ]
    return [(setting, path) for setting, path in named if is_import_path(path)]


def write_imports(workdir: Path, config: Config) -> None:
    """Writes the file, unless the settings name no code of the user's own."""
    found = {path: _describe(path) for _, path in named_paths(config)}
    if found:
        write_whole(workdir / NAME, json.dumps(found, indent=2) + "\n")


def warn_of_changes(workdir: Path, config: Config) -> None:
    """Warns of modules that have changed since the run in ``workdir`` was trained."""
    paths = named_paths(config)
    listed = _read(workdir) if paths and os.path.lexists(workdir / NAME) else {}
    for setting, path in paths:
        old, new = listed.get(path), _describe(path)
        if isinstance(old, Mapping) and old.get("sha256") != new["sha256"]:
            _tell_changed(setting, path, new["file"])


def import_recorded(workdir: Path, config: Config | None = None) -> None:
    """Imports the code that the settings of a run on disk name, from where it was.

    That is the folder that the run recorded, then the current one; or an installed
    package, from which only networks are taken. Callbacks are left out: only training
    calls them.

    Args:
        workdir: of the run.
        config: its settings; by default those in ``workdir``.

    Raises:
        ConfigError: a module that is missing or inside ``workdir``, or an attribute
            that is not what a run may name.
    """
    config = stored_settings(workdir) if config is None else config
    paths = [pair for pair in named_paths(config) if pair[0] != "report"]
    import_paths(workdir, paths)


def import_paths(workdir: Path, paths: list[tuple[str, str]]) -> None:
    """Like ``import_recorded``, for some settings and their values.

    Args:
        workdir: of the run.
        paths: names of settings with their values; those that are no import paths are
            left out.

    Raises:
        ConfigError: see ``import_recorded``.
    """
    paths = [(setting, path) for setting, path in paths if is_import_path(path)]
    listed = _read(workdir) if paths else {}
    for setting, path in paths:
        record = listed.get(path)
        if not isinstance(record, Mapping) or not all(
            isinstance(record.get(key), str) for key in ("folder", "sha256")
        ):
            raise ConfigError(
                f"{setting} is {path!r}, which {workdir / NAME} does not list; restore"
                " the file, or train the run again"
            )
        _import(workdir, setting, path, record)


def _import(workdir: Path, setting: str, path: str, record: Mapping[str, str]) -> None:
    module = split(path)[0]
    folders = [record["folder"], os.getcwd()]
    outside = [folder for folder in folders if _is_own(folder)]
    file = find_own(module, outside)
    if file is None or is_installed(module, outside):
        _import_installed(setting, path, outside, file)
        return
    for place in (file, Path(record["folder"])):
        if place.resolve().is_relative_to(workdir.resolve()):
            raise ConfigError(
                f"{setting} is {path!r}, and {place} is inside the working directory"
                f" {workdir}, from which no code is taken; move the module to another"
                " folder, and run the command there"
            )
    file = file.resolve()
    if hashlib.sha256(file.read_bytes()).hexdigest() != record["sha256"]:
        _tell_changed(setting, path, str(file))
    make_importable(*outside)
    found = resolve(setting, path, _EXPECTED)
    if setting == "model.name" and _is_network(found):
        return
    function = inspect.unwrap(found) if callable(found) else found
    if not isinstance(function, FunctionType) or not _is_same(function, file):
        raise ConfigError(
            f"{setting} is {path!r}, expected a function that is defined in {file};"
            " what it imports from elsewhere is not called for a run on disk"
        )


def _import_installed(
    setting: str, path: str, outside: list[str], file: Path | None
) -> None:
    """Takes networks, and nothing else, from packages that are installed."""
    module = split(path)[0]
    top = module.partition(".")[0]
    if not is_installed(module, outside):
        raise ConfigError(
            f"{setting} is {path!r}, but there is no module {module} in"
            f" {' or '.join(dict.fromkeys(outside))}; run the command where it is"
        )
    if file is not None:
        raise ConfigError(
            f"{setting} is {path!r}, but an installed package {top} hides {file};"
            " rename yours, or remove that package"
        )
    allowed = setting == "model.name" and top not in sys.stdlib_module_names
    if allowed and _is_network(resolve(setting, path, _EXPECTED)):
        return
    raise ConfigError(
        f"{setting} is {path!r} of an installed package, expected a class of a Flax"
        " module: a run on disk calls no function of a package; write one of your own"
        " that calls it, and train with that"
    )


def _is_own(folder: str) -> bool:
    """Whether a folder is none of Python's own and holds no installed packages."""
    places = [Path(place).resolve() for place in sysconfig.get_paths().values()]
    packages = [p for p in places if p.name in ("site-packages", "dist-packages")]
    library = Path(sysconfig.get_paths()["stdlib"]).resolve()
    real = Path(folder).resolve()
    return Path(folder).is_absolute() and not any(
        real.is_relative_to(place) for place in (*packages, library)
    )


def _is_network(found: Any) -> bool:
    return inspect.isclass(found) and issubclass(found, nn.Module)


def _is_same(function: FunctionType, file: Path) -> bool:
    return Path(function.__code__.co_filename).resolve() == file


def _describe(path: str) -> dict[str, str]:
    """The folder, file and hash of a module that is imported already."""
    module = split(path)[0]
    name = getattr(sys.modules[module], "__file__", None) or ""
    file = Path(os.path.abspath(name))
    up = module.count(".") + (file.name == "__init__.py")
    content = file.read_bytes() if name else b""
    return {
        "folder": str(file.parents[up]),
        "file": str(file),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _tell_changed(setting: str, path: str, file: str) -> None:
    warn(
        f"{setting} is {path!r}, and {file} has changed since the run recorded it; its"
        " numbers may differ"
    )


def _read(workdir: Path) -> Mapping[str, Any]:
    path = workdir / NAME
    try:
        listed = read_json(path)
        if not isinstance(listed, Mapping):
            raise ValueError("expected modules by import path")
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no {path}, which lists the modules that the run's settings"
            " name; restore it, or train the run again"
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} is damaged ({error}); restore it, or train the run again"
        ) from error
    return listed
