"""The options of a network: its fields, checked against their annotations."""

import dataclasses
import typing
from collections.abc import Sequence
from typing import Any

from flax import linen as nn

from cnnjax.config.values import LARGEST_SIZE, fit, fit_finite, is_size
from cnnjax.errors import unknown_name, wrong_value
from cnnjax.models.initializers import INITIALIZERS
from cnnjax.models.lenet import ACTIVATIONS
from cnnjax.models.stem import STEMS

CHOICES = {"activation": ACTIVATIONS, "kernel_init": INITIALIZERS, "stem": STEMS}
"""Options whose values are names, with the valid names."""

_NOT_OPTIONS = ("num_classes", "name", "parent")


def check_options(
    name: str, network: type[nn.Module], options: dict[str, Any]
) -> dict[str, Any]:
    """The options in the form that ``network`` expects, such as tuples for lists.

    Fields with annotations other than ``bool``, ``int``, ``float``, ``str`` and
    ``Sequence[int]`` accept any value.

    Args:
        name: name of the network in configs.
        network: its class.
        options: values by field name.

    Raises:
        ValueError: an unknown field, or an invalid value.
    """
    known = [field.name for field in dataclasses.fields(network)]
    known = sorted({*known}.difference(_NOT_OPTIONS))
    for option in options:
        if option not in known:
            raise unknown_name(f"option of model {name!r}", option, known)
    annotations = _annotations(network)
    return {
        option: _check(option, value, annotations.get(option))
        for option, value in options.items()
    }


def _annotations(network: type[nn.Module]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(network)
    except (NameError, TypeError):  # a user's class may name what it does not import
        return {}


def _check(option: str, value: Any, annotation: Any) -> Any:
    if option in CHOICES and annotation is str:
        if value not in [*CHOICES[option]]:
            raise unknown_name(option, value, CHOICES[option])
        return value
    if annotation is float:
        return fit_finite(option, value)
    if annotation is int:
        if not is_size(value):
            raise wrong_value(option, value, f"a whole number from 1 to {LARGEST_SIZE}")
        return value
    if annotation == Sequence[int]:
        sizes = fit(option, value, tuple)
        if not all(map(is_size, sizes)):
            raise wrong_value(option, value, f"whole numbers from 1 to {LARGEST_SIZE}")
        return sizes
    if annotation in (bool, str):
        return fit(option, value, annotation)
    return value
