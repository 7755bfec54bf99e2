"""Tensors as PyTorch's files describe them, and the corresponding arrays."""

import math
from typing import NamedTuple

import ml_dtypes
import numpy as np

from cnnjax.errors import WeightsError, show

DTYPES = {
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "BoolStorage": np.dtype("bool"),
    "ByteStorage": np.dtype("uint8"),
    "CharStorage": np.dtype("int8"),
    "ComplexDoubleStorage": np.dtype("complex128"),
    "ComplexFloatStorage": np.dtype("complex64"),
    "DoubleStorage": np.dtype("float64"),
    "FloatStorage": np.dtype("float32"),
    "HalfStorage": np.dtype("float16"),
    "IntStorage": np.dtype("int32"),
    "LongStorage": np.dtype("int64"),
    "ShortStorage": np.dtype("int16"),
}
"""Dtypes by the names of PyTorch's storage classes."""

LARGEST_RANK = 32


class Storage(NamedTuple):
    """A sequence of numbers in the file, which several tensors may share.

    Attributes:
        kind: a key of ``DTYPES``.
        key: its name in the file.
        size: how many numbers it has.
        start: the index of the number at which the offsets of tensors start.
    """

    kind: str
    key: str
    size: int
    start: int = 0

    @property
    def dtype(self) -> np.dtype:
        """The dtype of its numbers."""
        return DTYPES[self.kind]


class Tensor(NamedTuple):
    """Where the numbers of a tensor are: element ``i`` at ``offset + i * strides``."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def numbers_of(storage: Storage, content: memoryview, big_endian: bool) -> np.ndarray:
    """The numbers of a storage, without a copy unless their bytes must be swapped.

    Args:
        storage: whose numbers they are.
        content: exactly its bytes.
        big_endian: whether the most significant byte of a number comes first.

    Raises:
        WeightsError: more or fewer bytes than the storage needs.
    """
    dtype = storage.dtype
    if len(content) != storage.size * dtype.itemsize:
        raise WeightsError(
            f"storage {show(storage.key)} has {len(content):,} bytes, expected"
            f" {storage.size * dtype.itemsize:,} ({storage.size:,} of {dtype})"
        )
    if not big_endian:
        return np.frombuffer(content, dtype)
    word = dtype.itemsize // 2 if dtype.kind == "c" else dtype.itemsize
    return np.frombuffer(content, f"u{word}").byteswap().view(dtype)


def array_of(tensor: Tensor, numbers: np.ndarray) -> np.ndarray:
    """The array of a tensor, as a view of the numbers of its storage.

    For an empty tensor, sizes above 1 become 1.

    Args:
        tensor: with no negative offset, size or stride.
        numbers: those of its storage.

    Raises:
        WeightsError: elements outside the storage, or more elements than it has, so
            that a copy could be larger than the file.
    """
    storage, offset, shape, strides = tensor
    if len(shape) != len(strides) or len(shape) > LARGEST_RANK:
        raise WeightsError(
            f"a tensor has {len(shape)} sizes and {len(strides)} strides, expected the"
            f" same number of both, at most {LARGEST_RANK}"
        )
    size, offset = math.prod(shape), storage.start + offset
    if size == 0:
        return np.empty([min(n, 1) for n in shape], numbers.dtype)
    last = offset + sum(
        (n - 1) * stride for n, stride in zip(shape, strides, strict=True)
    )
    if last >= len(numbers) or size > len(numbers):
        raise WeightsError(
            f"a tensor of shape {list(shape)} with strides {list(strides)} needs"
            f" {max(last + 1, size):,} numbers, but its storage has {len(numbers):,}"
        )
    return np.lib.stride_tricks.as_strided(
        numbers[offset:],
        shape,
        [stride * numbers.itemsize for stride in strides],
        writeable=False,
    )
