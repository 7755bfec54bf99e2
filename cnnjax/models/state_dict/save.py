"""Converts the variables of a network to a state dict, and saves them to files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict

from cnnjax.errors import unknown_name
from cnnjax.models.state_dict.arrays import OURS, to_torch
from cnnjax.models.state_dict.fit import IGNORED
from cnnjax.models.state_dict.load import array_name
from cnnjax.models.state_dict.names import namings
from cnnjax.weights import write_safetensors, write_torch

FORMATS = {"safetensors": write_safetensors, "torch": write_torch}
"""The function that writes a file, by the name of the format."""


def save_weights(
    model: nn.Module,
    variables: Mapping[str, Any],
    path: str | Path,
    format: str = "safetensors",
) -> None:
    """Saves the variables of a network, with the names that ``state_dict`` gives.

    Args:
        model: the network.
        variables: by collection, as ``model.apply`` takes them.
        path: the file; an existing one is replaced.
        format: "safetensors", or "torch" for ``torch.load(path, weights_only=True)``.

    Raises:
        ValueError: another format.
        OSError: a file that cannot be written.

    Example::

        >>> from cnnjax import models
        >>> models.save_weights(  # doctest: +SKIP
        ...     model, variables, "resnet18.pth", format="torch"
        ... )
    """
    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    FORMATS[format](path, state_dict(model, variables))


def state_dict(model: nn.Module, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The state dict of a network: its arrays by name.

    Names and layouts are torchvision's, or timm's if torchvision lacks the network, so
    PyTorch's model of the same name loads them. A network that neither library has
    keeps our own names and layouts.

    Args:
        model: the network.
        variables: by collection, as ``model.apply`` takes them.
    """
    arrays = {
        array_name(keys): np.asarray(leaf)
        for keys, leaf in flatten_dict(variables).items()
    }
    how = namings(model, arrays)[0]
    if how.library == OURS:
        return arrays
    result = {}
    for name, array in arrays.items():
        leaf, there = name.rpartition(".")[2], how.names[name]
        result[there] = to_torch(leaf, array)
        if leaf == "var":  # PyTorch also counts the batches behind the moments
            counter = there.rpartition(".")[0] + IGNORED
            result[counter] = np.zeros((), np.int64)
    return result
