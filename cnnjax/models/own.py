"""A network of the user's own, named by an import path."""

import inspect
from typing import Any, cast

from flax import linen as nn

from cnnjax.config.import_path import (
    failure,
    parameters,
    resolve,
    wrong_kind,
)
from cnnjax.errors import ConfigError, unknown_name
from cnnjax.models.options import check_options

EXPECTED = (
    "a Flax module with a field num_classes, called as model(x, train=...), or a"
    " function make(num_classes, **options) that returns one"
)
_NOT_OPTIONS = ("num_classes", "name", "parent", "self")


def option_names(path: str) -> list[str] | None:
    """The options that a network takes; ``None`` for any.

    Raises:
        ConfigError: the path names no network.
    """
    return _options_of(_resolve(path))


def make_own_model(path: str, *, num_classes: int, **options: Any) -> nn.Module:
    """Makes the network that an import path names.

    Args:
        path: ``"module:attribute"``.
        num_classes: number of outputs.
        options: other fields of the class, or arguments of the function.

    Raises:
        ConfigError: the path names no network, or one that cannot be made.
        ValueError: an unknown option, or an invalid value of an option.
    """
    found: Any = _resolve(path)
    make: Any = found  # keeps its type where that of found is narrowed
    known = _options_of(found)
    for option in options:
        if known is not None and option not in known:
            raise unknown_name(f"option of model {path!r}", option, known)
    if inspect.isclass(found):
        options = check_options(path, cast(type[nn.Module], found), options)
    try:
        model = make(num_classes=num_classes, **options)
    except Exception as error:  # the function may hold any code
        raise ConfigError(failure("model.name", path, error)) from error
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"model.name is {path!r}, which returned a {type(model).__name__}, expected"
            f" {EXPECTED}"
        )
    names, takes_any = parameters(type(model).__call__)
    if "train" not in names and not takes_any:
        raise ConfigError(
            f"model.name is {path!r}, whose __call__ takes ({', '.join(names[1:])}),"
            " expected __call__(self, x, train): give it an argument train, which is"
            " True in training"
        )
    return model


def _options_of(found: Any) -> list[str] | None:
    names, takes_any = parameters(found)
    return None if takes_any else [name for name in names if name not in _NOT_OPTIONS]


def _resolve(path: str) -> Any:
    found = resolve("model.name", path, EXPECTED)
    is_module = inspect.isclass(found) and issubclass(found, nn.Module)
    if not is_module and (inspect.isclass(found) or not callable(found)):
        raise wrong_kind("model.name", path, found, EXPECTED)
    names, takes_any = parameters(found)
    if "num_classes" not in names and not takes_any:
        raise ConfigError(
            f"model.name is {path!r}, which takes ({', '.join(names)}) and no"
            f" num_classes, expected {EXPECTED}"
        )
    return found
