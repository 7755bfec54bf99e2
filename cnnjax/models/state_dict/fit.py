"""Matches the arrays of a state dict to those of a network."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from flax import linen as nn

from cnnjax.errors import WeightsError
from cnnjax.models.state_dict.arrays import (
    FLOATS,
    OURS,
    from_torch,
    shape_in_torch,
    sum_over_inputs,
)
from cnnjax.models.state_dict.names import Naming, namings

IGNORED = ".num_batches_tracked"
"""An array of PyTorch's batch normalization that cnnjax does not need."""


class Fitted(NamedTuple):
    """Arrays for a network.

    Attributes:
        arrays: by our names, such as ``"Conv_0.kernel"``, in our layout, as float32.
        naming: the library whose names the state dict has: "torchvision", "timm" or
            "cnnjax".
        anew: names of the head's arrays if they were not loaded, because the head has a
            different size or the state dict has none.
    """

    arrays: dict[str, np.ndarray]
    naming: str
    anew: list[str]


def fit(
    model: nn.Module,
    shapes: Mapping[str, tuple[int, ...]],
    found: Mapping[str, np.ndarray],
    naming: str | None = None,
    wants: Callable[[str], bool] = lambda name: True,
) -> Fitted:
    """Matches a state dict to a network.

    A head with a different number of outputs is not loaded. For images with one
    channel, the stem's kernels are summed over their input channels: the outputs are
    then those for an image whose channels are equal.

    Args:
        model: the network.
        shapes: of its arrays, by our names.
        found: the state dict.
        naming: the library whose names it has; by default, the one that matches most
            names.
        wants: whether an array is needed, by our name.

    Raises:
        WeightsError: lists every array that is missing, that has the wrong shape or
            dtype, or that the network does not have.
    """
    how = _choose(model, namings(model, shapes), found, naming)
    arrays: dict[str, np.ndarray] = {}
    anew, missing, misfits = [], [], []
    for name in filter(wants, shapes):
        theirs, shape = how.names[name], shapes[name]
        is_head = name.rpartition(".")[0] == how.head
        if theirs not in found:
            (anew if is_head else missing).append(name if is_head else theirs)
            continue
        array = _in_our_layout(how, name, found[theirs], shape)
        if array.dtype not in FLOATS:
            misfits.append(f"{theirs} is of dtype {array.dtype}, expected float32")
        elif array.shape == shape:
            arrays[name] = array.astype(np.float32)
        elif is_head and array.shape[:-1] == shape[:-1]:
            anew.append(name)
        else:
            misfits.append(_misfit(how, name, found[theirs].shape, shape))
    if anew:  # the whole layer, or none of it
        anew = [name for name in filter(wants, shapes) if _layer(name) == how.head]
    unknown = [
        name
        for name in found.keys() - {*how.names.values()}
        if not name.endswith(IGNORED) and _layer(name) != how.head_there
    ]
    if missing or misfits or unknown:
        raise WeightsError(_message(model, how, missing, misfits, sorted(unknown)))
    taken = {name: array for name, array in arrays.items() if name not in anew}
    return Fitted(taken, how.library, anew)


def _choose(
    model: nn.Module,
    known: list[Naming],
    found: Mapping[str, np.ndarray],
    library: str | None,
) -> Naming:
    """The naming of a library, or the one that matches most names of a state dict."""
    if library is None:
        return max(known, key=lambda how: len(found.keys() & {*how.names.values()}))
    for how in known:
        if how.library == library:
            return how
    raise WeightsError(
        f"{library} has no {type(model).__name__} with these options (docs/weights.md"
        " lists its networks); to load the file anyway, rename its arrays as in cnnjax:"
        f" {', '.join(list(known[-1].names)[:3])}, ..."
    )


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _in_our_layout(how: Naming, name: str, array, shape):
    if array.size == 0:
        return array
    if how.library != OURS:
        array = from_torch(name.rpartition(".")[2], array, shape)
    return sum_over_inputs(array, shape) if _layer(name) == how.stem else array


def _misfit(how: Naming, name: str, has: tuple[int, ...], shape: tuple[int, ...]):
    if how.library != OURS:
        shape = shape_in_torch(name.rpartition(".")[2], shape)
    return f"{how.names[name]} has shape {has}, expected {shape}"


def _message(model, how, missing, misfits, unknown) -> str:
    """What is wrong with a state dict, including every name."""
    parts = [
        f"{len(names)} {what}: {', '.join(names)}"
        for names, what in (
            (misfits, "mismatched"),
            (missing, "missing"),
            (unknown, "unknown"),
        )
        if names
    ]
    whose = "cnnjax's own" if how.library == OURS else f"{how.library}'s"
    return (
        f"its arrays do not match {type(model).__name__} under {whose} names;"
        f" {'; '.join(parts)}"
    )
