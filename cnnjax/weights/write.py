"""Writes arrays by name in the safetensors format, or in PyTorch's without PyTorch."""

import io
import struct
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy

from cnnjax.errors import WeightsError
from cnnjax.files import expand_path, write_whole
from cnnjax.weights.tensors import DTYPES

_KINDS = {dtype: kind for kind, dtype in DTYPES.items()}


def write_safetensors(
    path: str | Path,
    arrays: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes a file in the safetensors format.

    Args:
        path: the file; an existing one is replaced.
        arrays: by name.
        metadata: texts by name, for the file's header.

    Raises:
        OSError: a file that cannot be written.
    """
    contiguous = {name: np.asarray(a, order="C") for name, a in arrays.items()}
    content = safetensors.numpy.save(contiguous, dict(metadata or {}) or None)
    write_whole(expand_path(path, "the weights file"), content)


def write_torch(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a file that ``torch.load(path, weights_only=True)`` reads as a state dict.

    Args:
        path: the file; an existing one is replaced.
        arrays: by name; each of them gets its own storage.

    Raises:
        WeightsError: an array of a dtype that PyTorch lacks.
        OSError: a file that cannot be written.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:

        def add(name, data):
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), data)

        add("data.pkl", _pickle(arrays))
        add("byteorder", sys.byteorder.encode())
        for number, array in enumerate(arrays.values()):
            add(f"data/{number}", array.tobytes())
        add("version", b"3\n")
    write_whole(expand_path(path, "the weights file"), content.getvalue())


def _pickle(arrays: Mapping[str, np.ndarray]) -> bytes:
    """A pickle of protocol 2: a dict of tensors, whose storages are numbered."""
    items = b"".join(
        _text(name) + _tensor(name, number, array)
        for number, (name, array) in enumerate(arrays.items())
    )
    return b"\x80\x02}(" + items + b"u."


def _tensor(name: str, number: int, array: np.ndarray) -> bytes:
    """The call that rebuilds a tensor from its storage, offset, sizes and strides."""
    if array.dtype not in _KINDS:
        raise WeightsError(
            f"{name} is of dtype {array.dtype}, which PyTorch lacks; expected one of"
            f" {', '.join(map(str, _KINDS))}"
        )
    strides = [int(np.prod(array.shape[axis + 1 :])) for axis in range(array.ndim)]
    storage = (
        _text("storage")
        + _name("torch", _KINDS[array.dtype])
        + _text(str(number))
        + _text("cpu")
        + _integer(array.size)
    )
    shape, strides = (
        b"(" + b"".join(map(_integer, sizes)) + b"t" for sizes in (array.shape, strides)
    )
    hooks = _name("collections", "OrderedDict") + b")R"
    arguments = (
        b"((" + storage + b"tQ" + _integer(0) + shape + strides + b"\x89" + hooks
    )
    return _name("torch._utils", "_rebuild_tensor_v2") + arguments + b"tR"


def _name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def _text(text: str) -> bytes:
    content = text.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def _integer(value: int) -> bytes:
    content = value.to_bytes(8, "little", signed=True)
    return b"\x8a\x08" + content
