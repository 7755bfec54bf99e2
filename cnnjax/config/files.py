"""Config files, overrides from the command line, and the config of a run as JSON."""

import ast
import json
import os
import re
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from cnnjax.config.defaults import (
    OPEN_SECTIONS,
    RENAMED,
    RENAMED_SETTINGS,
    Config,
    default_config,
    flatten,
    kind_of,
    validate,
)
from cnnjax.config.import_path import make_importable, searched
from cnnjax.config.setting import OPTION
from cnnjax.config.settings import BY_NAME
from cnnjax.config.values import fit
from cnnjax.errors import (
    ConfigError,
    NotRegularError,
    UnknownSettingError,
    show,
    unknown_name,
    wrong_value,
)
from cnnjax.files import check_regular
from cnnjax.json_file import parse_json

WORDS = {"true": True, "false": False, "none": None}
LONGEST = 10_000  # characters of a value on the command line that Python's parser sees


def load_config(path: str | Path, overrides: Mapping[str, str] | None = None) -> Config:
    """The settings of a config file with single settings changed, checked.

    Args:
        path: a Python file with a function ``get_config()``; it may begin with ``~``.
        overrides: texts by dotted names: ``{"optimizer.learning_rate": "0.05"}``.

    Raises:
        ConfigError: no such file, a name that does not exist, or a value of the wrong
            type or range.
    """
    config = _run_file(Path(os.path.expanduser(path)))
    for name, text in (overrides or {}).items():
        _override(config, name, text)
    return check_config(config.to_dict(), path)


def check_config(changes: Mapping[str, Any], path: str | Path = "config") -> Config:
    """The default settings with changes, checked.

    Args:
        changes: values by name, in nested mappings or by dotted names.
        path: where they come from, for the message.

    Raises:
        ConfigError: a name that does not exist, or a value of the wrong type or range.
    """
    try:
        text = json.dumps(changes, default=_scalar)
        changes = json.loads(text, object_pairs_hook=_with_tuples)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{path}: a setting is a string, a number, true, false, None or a tuple of"
            f" these ({error})"
        ) from error
    return _from_settings(changes)


def to_json(config: Config) -> str:
    """The settings as JSON text, indented, keys in order."""
    return json.dumps(config.to_dict(), indent=2, sort_keys=True) + "\n"


def from_json(text: str) -> Config:
    """The settings that ``to_json`` wrote, in this version or an older one.

    Settings and values that have been renamed since get their new names, so that an old
    run can be resumed.

    Raises:
        ConfigError: damaged text, or settings that this version does not know.
    """
    return from_tree(parse_tree(text))


def parse_tree(text: str) -> dict[str, Any]:
    """The values in JSON text by their names, unchecked; lists become tuples.

    Raises:
        ConfigError: damaged text.
    """
    try:
        tree = parse_json(text, object_pairs_hook=_with_tuples)
    except ValueError as error:
        raise ConfigError(f"the config is not JSON: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"the config is {show(tree)}, expected settings by name")
    return tree


def from_tree(tree: Mapping[str, Any]) -> Config:
    """The settings in a tree that an older version may have written, checked.

    Raises:
        ConfigError: settings that this version does not know, or wrong values.
    """
    settings: dict[str, Any] = {}
    for old, value in flatten(tree):
        name = RENAMED_SETTINGS.get(old, old)
        if name in settings:
            raise ConfigError(f"{name} is set twice, once by its old name")
        if old == "reporters" and isinstance(value, tuple):  # beside the usual ones
            value = (*BY_NAME[name].default, *value)
        if isinstance(value, str):
            value = RENAMED.get((name, value), value)
        settings[name] = value
    return _from_settings(settings)


def _from_settings(changes: Mapping[str, Any]) -> Config:
    config = default_config()
    for name, value in flatten(changes):
        _set(config, name, value)
    validate(config)
    return config


def _scalar(value: Any) -> Any:
    """A NumPy scalar as a value for JSON."""
    if getattr(value, "shape", None) != () or not hasattr(value, "item"):
        raise TypeError(f"{show(value)} is a {type(value).__name__}")
    return value.item()


def _with_tuples(pairs):
    return {k: tuple(v) if isinstance(v, list) else v for k, v in pairs}


def _run_file(path: Path) -> Config:
    hint = "give a Python file with get_config(), such as configs/digits.py"
    try:
        check_regular(path)
    except NotRegularError as error:
        raise ConfigError(f"{error}; {hint}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"there is no config file {str(path)!r}; {hint}") from error
    try:
        make_importable(path.absolute().parent, Path.cwd())
        names = runpy.run_path(str(path))
        if "get_config" not in names:
            raise ConfigError(f"{path} has no function get_config()")
        config = names["get_config"]()
    except ConfigError:
        raise
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{path}: {_reason(error)}; modules are searched in"
            f" {', '.join(searched())} and among the installed packages"
        ) from error
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
        raise ConfigError(f"{name} is a section; set one of its keys: {keys}")
    _set(config, name, _parse(text, kind_of(name)))


def _section(config, name):
    """The section that holds ``name``, and the name's last part.

    Raises:
        UnknownSettingError: with the closest name that exists.
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
    if name in RENAMED_SETTINGS:
        new = RENAMED_SETTINGS[name]
        text = f"{name} is called {new!r} now, with default {BY_NAME[new].default!r}"
        return UnknownSettingError(text, name)
    valid = [known for known, _ in flatten(config.to_dict())]
    return UnknownSettingError(str(unknown_name("setting", name, valid)), name)


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
    setting = BY_NAME.get(name)
    optional = setting is None or setting.default in (None, OPTION)
    if setting and kind is not None and not (value is None and optional):
        try:
            value = fit(name, value, kind)
        except ValueError as error:
            refusal = wrong_value(name, value, setting.expected)
            raise ConfigError(str(refusal)) from error
    with section.ignore_type():
        section[key] = value
