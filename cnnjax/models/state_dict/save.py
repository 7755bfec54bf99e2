"""Variables of a network as a state dict, and files of it."""

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
"""What writes a file, by the format's name."""


def save_weights(
    model: nn.Module,
    variables: Mapping[str, Any],
    path: str | Path,
    format: str = "safetensors",
) -> None:
    """Writes the variables of a network, by the names that ``state_dict`` gives.

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
    """The arrays of a network by name, in the layout that the names promise.

    These are torchvision's names and layouts, or those of timm where torchvision lacks
    the network, so that PyTorch's model of the same name loads them. A network of
    neither has our own names and layouts.

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
        if leaf == "var":  # how many batches the moments are from
            counter = there.rpartition(".")[0] + IGNORED
            result[counter] = np.zeros((), np.int64)
    return result
