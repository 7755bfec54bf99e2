"""PyTorch's files: zip archives or, before version 1.6, pickles followed by numbers.

Both describe the saved object in a pickle, and hold the numbers of each storage outside
of it. The arrays are views of the file's content, so nothing is copied.
"""

import io
import struct
import zipfile
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from cnnjax.errors import WeightsError, show
from cnnjax.weights.pickled import load
from cnnjax.weights.tensors import Storage, Tensor, array_of, numbers_of

ZIP = b"PK\x03\x04"
LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""The first bytes of the older format: a pickle of its magic number."""

_LEGACY_VERSION = 1001
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # of a file in an archive, up to its name


class TorchFile(NamedTuple):
    """The content of a file.

    Attributes:
        value: the saved object, with a ``Tensor`` for each tensor.
        numbers: returns the numbers of a storage.
    """

    value: Any
    numbers: Callable[[Storage], np.ndarray]

    def array(self, tensor: Tensor) -> np.ndarray:
        """The array of a tensor, which must not be changed."""
        return array_of(tensor, self.numbers(tensor.storage))


def read_zip(content: bytes) -> TorchFile:
    """The content of a file that ``torch.save`` writes since version 1.6.

    Raises:
        WeightsError: an archive that is damaged or was not written by ``torch.save``.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise WeightsError(
            f"it is not a complete zip archive ({error}); was it copied or downloaded"
            " in full?"
        ) from error
    members = {info.filename: info for info in archive.infolist()}
    pickles = [name for name in members if name.count("/") == 1]
    pickles = [name for name in pickles if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise WeightsError(
            "it is a zip archive without PyTorch's data.pkl; expected a file that"
            " torch.save wrote"
        )
    folder = pickles[0].removesuffix("data.pkl")
    view = memoryview(content)

    def member(name):
        if folder + name not in members:
            raise WeightsError(f"it has no part {show(folder + name)}")
        return _stored(view, members[folder + name])

    order = b"little"
    if f"{folder}byteorder" in members:
        order = bytes(member("byteorder"))
    if order not in (b"little", b"big"):
        raise WeightsError(f"its byteorder is {show(order)}, expected little or big")

    known: dict[tuple[str, str], np.ndarray] = {}  # so that bytes are swapped only once

    def numbers(storage):
        name = storage.kind, storage.key
        if name not in known:
            part = member(f"data/{storage.key}")
            known[name] = numbers_of(storage, part, order == b"big")
        return known[name]

    return TorchFile(load(io.BytesIO(member("data.pkl"))).value, numbers)


def _stored(content: memoryview, info: zipfile.ZipInfo) -> memoryview:
    """A file in an archive; it must be uncompressed, so it cannot grow when read."""
    name = show(info.filename)
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise WeightsError(
            f"its part {name} is compressed or encrypted, unlike torch.save's files"
        )
    start = info.header_offset
    header = bytes(content[start : start + _LOCAL_HEADER.size])
    if len(header) == _LOCAL_HEADER.size and header.startswith(ZIP):
        _, name_size, extra_size = _LOCAL_HEADER.unpack(header)
        start += _LOCAL_HEADER.size + name_size + extra_size
        part = content[start : start + info.file_size]
        if len(part) == info.file_size:
            return part
    raise WeightsError(f"its part {name} lies outside the file, which is damaged")


def read_legacy(content: bytes) -> TorchFile:
    """The content of a file that ``torch.save`` wrote before version 1.6.

    Raises:
        WeightsError: a file that is damaged or too short.
    """
    file = io.BytesIO(content)
    load(file)  # the magic number
    version = load(file).value
    if type(version) is not int or version != _LEGACY_VERSION:
        raise WeightsError(f"its format version is not {_LEGACY_VERSION}")
    load(file)  # sizes of C types on the writer's machine, which the format ignores
    value, storages = load(file)
    keys = load(file).value
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise WeightsError("its list of storages is damaged")
    parts, view, at = {}, memoryview(content), file.tell()
    for key in keys:
        if key not in storages:
            raise WeightsError(f"its list of storages has an unknown key, {show(key)}")
        storage = storages[key]
        size = int.from_bytes(view[at : at + 8], "little")
        if size != storage.size:
            raise WeightsError(
                f"storage {show(key)} has {size:,} numbers, expected {storage.size:,};"
                " was the file copied or downloaded in full?"
            )
        at += 8
        parts[key] = view[at : at + size * storage.dtype.itemsize]
        at += len(parts[key])

    def numbers(storage):
        if storage.key not in parts:
            raise WeightsError(f"it lacks the numbers of storage {show(storage.key)}")
        return numbers_of(storage, parts[storage.key], big_endian=False)

    return TorchFile(value, numbers)
