"""Reads a weights file in any supported format, as arrays by name."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.errors import WeightsError, show
from cnnjax.files import expand_path, open_regular
from cnnjax.weights.safetensors_file import read_safetensors
from cnnjax.weights.tensors import Tensor
from cnnjax.weights.torch_file import LEGACY, ZIP, read_legacy, read_zip

STATE_DICTS = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "state_dict",
    "model",
    "model_state_dict",
)
"""Keys under which checkpoints hold the state dict; averaged weights come first."""

WRAPPERS = ("module.", "_orig_mod.", "model.")
"""Prefixes that PyTorch's wrappers around a network add to every name."""

_READERS = {ZIP: read_zip, LEGACY: read_legacy}


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a state dict by name, in the dtypes of the file.

    The format is detected from the content: safetensors, or a file that ``torch.save``
    wrote, which is read without PyTorch. Nothing in it is executed, and the arrays take
    no more memory than the file has bytes. From a checkpoint with a state dict among
    other entries, such as ``{"state_dict": ..., "epoch": 90}``, the state dict is
    taken, or the averaged one if there are two. A prefix that all names share, such as
    ``module.``, is removed.

    Args:
        path: the file.

    Returns:
        Read-only arrays.

    Raises:
        WeightsError: a file that is damaged, holds no tensors, or names anything but
            tensors and plain containers.
        OSError: no such file, or not a regular one.

    Example::

        >>> from cnnjax.weights import read_weights
        >>> arrays = read_weights("resnet18.pth")  # doctest: +SKIP
        >>> arrays["conv1.weight"].shape  # doctest: +SKIP
        (64, 3, 7, 7)
    """
    path = expand_path(path, "the weights file")
    try:
        return _without_wrappers(_read(path))
    except WeightsError as error:
        raise WeightsError(f"{path} cannot be used: {error}") from error


def digest_of(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits.

    Raises:
        OSError: no such file, or not a regular one.
    """
    with open_regular(expand_path(path, "the weights file")) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, with the reader that its first bytes select."""
    with open_regular(path) as file:
        start = file.read(len(LEGACY))
    reader = next((_READERS[kind] for kind in _READERS if start.startswith(kind)), None)
    if reader is None:
        return read_safetensors(path)
    with open_regular(path) as file:  # reopened, so that it reads without a copy
        found = reader(file.read())
    tensors = _state_dict(found.value)
    return {name: found.array(tensor) for name, tensor in tensors.items()}


def _state_dict(value: Any) -> dict[str, Tensor]:
    """The tensors of a saved object, which may hold them under a key.

    Raises:
        WeightsError: an object without tensors.
    """
    if isinstance(value, dict):
        entries = [value[key] for key in STATE_DICTS if key in value]
        for entry in (*entries, value):
            tensors = _tensors(entry)
            if tensors:
                return tensors
        inside = f"a mapping with {', '.join(map(show, value)) or 'nothing'}"
    else:
        inside = f"a {type(value).__name__}"
    raise WeightsError(
        f"it holds {inside[:200]}, expected a state dict, or one under one of the keys"
        f" {', '.join(STATE_DICTS)}"
    )


def _tensors(entry: Any) -> dict[str, Tensor]:
    if not isinstance(entry, dict):
        return {}
    return {
        name: value
        for name, value in entry.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }


def _without_wrappers(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays without the prefixes that all names share."""
    arrays = {name: array for name, array in arrays.items() if name != "n_averaged"}
    while prefix := _prefix(arrays):
        arrays = {name.removeprefix(prefix): array for name, array in arrays.items()}
    return arrays


def _prefix(names: Mapping[str, Any]) -> str | None:
    shared = (p for p in WRAPPERS if all(name.startswith(p) for name in names))
    return next(shared, None) if names else None
