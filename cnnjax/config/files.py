"""Config files, settings from the command line, and the config of a run as JSON."""

import ast
import json
import os
import re
import runpy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from cnnjax.config import Config, default_config
from cnnjax.config.settings import OPEN_KINDS, OPEN_SECTIONS, find, validate
from cnnjax.config.values import fit
from cnnjax.errors import (
    ConfigError,
    NotRegularError,
    UnknownSettingError,
    show,
    unknown_name,
)
from cnnjax.files import check_regular
from cnnjax.json_file import parse_json

WORDS = {"true": True, "false": False, "none": None}
_DEFAULTS = default_config()
LONGEST = 10_000  # characters of a value on the command line that Python's parser sees


def load_config(path: str | Path, overrides: Mapping[str, str] | None = None) -> Config:
    """The settings of a config file with single settings changed, checked.

    Args:
        path: a Python file with a function ``get_config()``; it may begin with ``~``.
        overrides: texts by dotted names, as ``{"optimizer.learning_rate": "0.05"}``.

    Raises:
        ConfigError: no such file, a name that does not exist, a wrong type, or a value
            that cannot be.
    """
    config = _run_file(Path(os.path.expanduser(path)))
    for name, text in (overrides or {}).items():
        _override(config, name, text)
    return _checked(config, path)


def _checked(config, path) -> Config:
    """The same settings on top of the defaults: types, names and values checked."""
    try:
        changes = json.loads(to_json(config), object_pairs_hook=_with_tuples)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{path}: settings are texts, numbers, true, false, None and tuples of"
            f" these ({error})"
        ) from error
    return _from_settings(changes)


def to_json(config: Config) -> str:
    """The settings as JSON text, indented, keys in order."""
    return json.dumps(config.to_dict(), indent=2, sort_keys=True) + "\n"


def from_json(text: str) -> Config:
    """The settings that ``to_json`` wrote.

    Raises:
        ConfigError: damaged text, or settings that this version does not know.
    """
    try:
        changes = parse_json(text, object_pairs_hook=_with_tuples)
    except ValueError as error:
        raise ConfigError(f"the config is not JSON: {error}") from error
    if not isinstance(changes, dict):
        raise ConfigError(f"the config is {changes!r}, expected settings by name")
    return _from_settings(changes)


def _from_settings(changes: Mapping[str, Any]) -> Config:
    config = default_config()
    for name, value in flatten(changes):
        _set(config, name, value)
    validate(config)
    return config


def _with_tuples(pairs):
    return {k: tuple(v) if isinstance(v, list) else v for k, v in pairs}


def flatten(tree: Mapping, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Each setting of nested sections with its dotted name."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _run_file(path: Path) -> Config:
    hint = "give a Python file with get_config(), such as configs/digits.py"
    try:
        check_regular(path)
    except NotRegularError as error:
        raise ConfigError(f"{error}; {hint}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"no config file {str(path)!r}; {hint}") from error
    try:
        names = runpy.run_path(str(path))
        if "get_config" not in names:
            raise ConfigError(f"{path} has no function get_config()")
        config = names["get_config"]()
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # the file may hold any code
        raise ConfigError(f"{path}: {_reason(error)}") from error
    if not isinstance(config, ConfigDict):
        raise ConfigError(
            f"{path}: get_config() gave {config!r}, expected a ConfigDict"
        )
    return config


def _reason(error: BaseException) -> str:
    """What went wrong, in one line; ml_collections prints the whole config."""
    missing = re.match(r"'?Key \"(\w+)\" does not exist", str(error))
    if missing is None:
        return f"{type(error).__name__}: {str(error)[:300]}"
    names = [name.split(".")[-1] for name, _ in flatten(default_config().to_dict())]
    return str(unknown_name("setting", missing[1], names))


def _override(config, name, text):
    section, key = _section(config, name)
    if key in section and isinstance(section[key], ConfigDict):
        keys = ", ".join(f"{name}.{k}" for k in sorted(section[key].keys()))
        raise ConfigError(f"{name} is a section, set one of its keys: {keys}")
    _set(config, name, _parse(text, kind_of(name)))


def kind_of(name: str) -> type | None:
    """The type that a setting has, ``None`` where the chosen part decides.

    It does not depend on the value that a config gives an option: 0 for one that takes
    any number does not make it a whole number.
    """
    *path, key = name.split(".")
    section = _DEFAULTS
    for part in path:
        section = section.get(part, {})
    return section.get_type(key) if key in section else OPEN_KINDS.get(name)


def _section(config, name):
    """The section that holds ``name`` and the last key.

    Raises:
        ConfigError: a name that does not exist, with the nearest that does.
    """
    *path, key = name.split(".")
    section = config
    for part in path:
        if part not in section or not isinstance(section[part], ConfigDict):
            raise _unknown(config, name)
        section = section[part]
    is_open = len(path) == 1 and path[0] in OPEN_SECTIONS
    if key not in section and not (is_open and key.isidentifier()):
        raise _unknown(config, name)
    return section, key


def _unknown(config, name):
    valid = [known for known, _ in flatten(config.to_dict())]
    return UnknownSettingError(str(unknown_name("setting", name, valid)))


def _parse(text, kind):
    """The value that ``text`` stands for, where a setting of type ``kind`` is meant."""
    word = text.lower()
    if kind is str:
        return None if word == "none" else text
    if word in WORDS:
        return WORDS[word]
    if len(text) > LONGEST:
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _set(config, name, value):
    section, key = _section(config, name)
    kind = kind_of(name)
    if isinstance(value, Mapping):
        if kind is ConfigDict:  # an empty section changes nothing
            return
        raise ConfigError(f"{name} is {show(value)}, expected one value")
    if kind is ConfigDict:
        raise ConfigError(f"{name} is {show(value)}, expected a section of settings")
    optional = _is_optional(name)
    if kind is not None and not (value is None and optional):
        try:
            value = fit(name, value, kind)
        except ValueError as error:
            raise ConfigError(f"{error}{' or None' if optional else ''}") from error
    with section.ignore_type():
        section[key] = value


def _is_optional(name) -> bool:
    """Whether ``None`` will do: it does by default, or ``name`` is a chosen part's."""
    return find(_DEFAULTS, name) is None
