"""Import paths, ``"package.module:attribute"``: a user's own code named in a config.

Modules are found where Python finds them, then in the folders that ``make_importable``
was given: those of config files, and the current one. They come last, so that a file
such as ``random.py`` beside a config does not replace a module that others import.
"""

import difflib
import importlib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from cnnjax.errors import ConfigError

_NAME = r"[A-Za-z_]\w*"
_PATH = re.compile(rf"({_NAME}(?:\.{_NAME})*):({_NAME})")

_folders: list[str] = []  # in which modules are searched, the latest first


def is_import_path(name: str) -> bool:
    """Whether a name has the form of an import path."""
    return _PATH.fullmatch(name) is not None


def split(path: str) -> tuple[str, str]:
    """The module and the attribute of an import path."""
    module, _, attribute = path.partition(":")
    return module, attribute


def make_importable(*folders: str | Path) -> None:
    """Adds folders to the end of ``sys.path``, for the life of the process.

    Args:
        folders: searched before those of earlier calls.
    """
    others = [entry for entry in sys.path if entry not in _folders]
    for folder in reversed([os.path.realpath(folder) for folder in folders]):
        if folder in _folders:
            _folders.remove(folder)
        elif folder in others:
            continue
        _folders.insert(0, folder)
    sys.path[:] = others + _folders


def searched() -> list[str]:
    """The folders of the user that are searched for modules."""
    return _folders or [os.getcwd()]


def find_own(module: str, folders: Sequence[str] | None = None) -> Path | None:
    """The file of a module in the user's folders; ``None`` if there is none there."""
    for folder in searched() if folders is None else folders:
        stem = Path(folder, *module.split("."))
        for file in (stem / "__init__.py", stem.with_suffix(".py")):
            if file.is_file():
                return file
    return None


def is_installed(module: str, own: Sequence[str] = ()) -> bool:
    """Whether the outermost package of a module is found outside the user's folders.

    Args:
        module: its dotted name.
        own: further folders of the user, which ``sys.path`` may hold.
    """
    top = module.partition(".")[0]
    folders = {*_folders, *map(os.path.realpath, own)}
    others = [entry for entry in sys.path if os.path.realpath(entry) not in folders]
    builtin = top in sys.builtin_module_names
    return builtin or PathFinder.find_spec(top, others) is not None


def resolve(setting: str, path: str, expected: str) -> Any:
    """The object that an import path names.

    Args:
        setting: that holds the path, for messages.
        path: ``"package.module:attribute"``.
        expected: the signature that the attribute must have, for messages.

    Raises:
        ConfigError: no such module or attribute, or a module that fails.
    """
    name, attribute = split(path)
    module = _import(setting, path, name)
    own = find_own(name)
    file = getattr(module, "__file__", None)
    if not hasattr(module, attribute):
        names = [known for known in vars(module) if not known.startswith("_")]
        near = difflib.get_close_matches(attribute, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"{setting} is {path!r}, but {file or name} has no attribute"
            f" {attribute!r}{hint}; expected {expected}" + _shadow(name, own, file)
        )
    return getattr(module, attribute)


def _import(setting: str, path: str, name: str) -> Any:
    _forget_other(name)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(
                f"{setting} is {path!r}, but there is no module {name} in"
                f" {' or '.join(searched())}, nor among the installed packages; run"
                " the command where it is, or put it beside the config"
                + _shadow(name, find_own(name), _file_of(name.partition(".")[0]))
            ) from error
        raise ConfigError(failure(setting, path, error)) from error
    except (Exception, SystemExit) as error:  # the module may hold any code
        raise ConfigError(failure(setting, path, error)) from error


def _forget_other(name: str) -> None:
    """Forgets a module that an earlier config's folder held, if another one is meant.

    One process may load several configs, each with its own ``model.py`` beside it.
    """
    own, top = find_own(name), name.partition(".")[0]
    file = _file_of(name)
    if own is None or file is None or is_installed(name):
        return
    if Path(file).resolve() != own.resolve():
        for known in [key for key in sys.modules if key.partition(".")[0] == top]:
            del sys.modules[known]


def _file_of(name: str) -> str | None:
    return getattr(sys.modules.get(name), "__file__", None)


def _shadow(name: str, own: Path | None, file: str | None) -> str:
    """A note that a module of the user is hidden by an installed one."""
    if own is None or file is None or Path(file).resolve() == own.resolve():
        return ""
    return (
        f"; {file} is installed and hides {own}: rename yours, or"
        f" write {name}_ or another name that no package has"
    )


def failure(setting: str, path: str, error: BaseException) -> str:
    """The message for a user's code that raised an error, with file and line."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename]
    where = f"{own[-1].filename}:{own[-1].lineno}"
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{error.filename}:{error.lineno}"
    reason = str(error).strip().partition("\n")[0][:300]
    return (
        f"{setting} is {path!r}, which failed with {type(error).__name__}: {reason}"
        f" ({where})"
    )


def resolve_function(setting: str, path: str, expected: str) -> Callable[..., Any]:
    """Like ``resolve``, for what must be callable.

    Raises:
        ConfigError: also for what cannot be called.
    """
    found = resolve(setting, path, expected)
    if not callable(found):
        raise wrong_kind(setting, path, found, expected)
    return found


def wrong_kind(setting: str, path: str, found: Any, expected: str) -> ConfigError:
    """The error for an attribute of another kind, to be raised."""
    kind = "class" if inspect.isclass(found) else type(found).__name__
    article = "an" if kind[0] in "aeiou" else "a"
    return ConfigError(f"{setting} is {path!r}, {article} {kind}, expected {expected}")


def parameters(function: Callable[..., Any]) -> tuple[list[str], bool]:
    """The names of a function's arguments, and whether it takes any others by name."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some built-in functions do not tell
        return [], True
    kinds = inspect.Parameter
    names = [
        p.name for p in found if p.kind not in (kinds.VAR_KEYWORD, kinds.VAR_POSITIONAL)
    ]
    return names, any(p.kind is kinds.VAR_KEYWORD for p in found)


def required(function: Callable[..., Any]) -> int | None:
    """How many arguments a function must get; ``None`` if it does not tell."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    by_place = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    return sum(p.kind in by_place and p.default is p.empty for p in found)
