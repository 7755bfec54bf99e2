"""A data source of the user's own, named by an import path."""

import importlib.util

from cnnjax.config.import_path import (
    failure,
    find_own,
    parameters,
    required,
    resolve_function,
)
from cnnjax.data.dataset import RawDataset, as_raw_dataset
from cnnjax.errors import ConfigError, DataError, show

EXPECTED = (
    "a function load(argument) that returns (images, labels) or a cnnjax.data"
    ".RawDataset; one without parameters is fine if no argument is given"
)


def is_found(module: str) -> bool:
    """Whether there is a module of that name, which is not imported."""
    if find_own(module):
        return True
    try:
        return importlib.util.find_spec(module.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def load_own(path: str, argument: str) -> RawDataset:
    """What a user's loader returns, as splits.

    Args:
        path: ``"module:function"``.
        argument: the text after a second colon.

    Raises:
        DataError: no such function, or one that fails or returns something else.
    """
    try:
        load = resolve_function("data.source", path, EXPECTED)
    except ConfigError as error:
        raise DataError(str(error)) from error
    names, _ = parameters(load)
    count = required(load)
    if (argument and not names) or (count is not None and count > 1):
        given = f" and is given the argument {argument!r}" if argument else ""
        raise DataError(
            f"data.source is {path!r}, which takes ({', '.join(names)}){given},"
            f" expected {EXPECTED}"
        )
    try:
        raw = load(argument) if names and (argument or count) else load()
    except Exception as error:  # the function may hold any code
        raise DataError(failure("data.source", path, error)) from error
    found = as_raw_dataset(raw)
    if found is None:
        raise DataError(
            f"data.source is {path!r}, which returned {show(raw)}, expected {EXPECTED}"
        )
    return found
