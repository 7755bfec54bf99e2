"""Files in the safetensors format: a JSON header, then the values."""

from pathlib import Path

import numpy as np
import safetensors

from cnnjax.errors import WeightsError

DTYPES = (
    *("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"),
    *("F16", "BF16", "F32", "F64", "C64"),
)
"""The names of the dtypes that are read; float dtypes of 8 bits or less are not."""


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file.

    Raises:
        WeightsError: no such file, or a header that contradicts the file's size.
    """
    try:
        with safetensors.safe_open(path, "np", backend="pread") as file:
            return {name: _array(file, name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise WeightsError(
            "it is neither a torch.save file nor a safetensors file"
            f" ({error}); was it copied or downloaded in full?"
        ) from error


def _array(file, name):
    dtype = file.get_slice(name).get_dtype()
    if dtype not in DTYPES:
        raise WeightsError(f"{name} is of dtype {dtype}, expected {', '.join(DTYPES)}")
    return file.get_tensor(name)
