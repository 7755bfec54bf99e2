"""The bytes of small files of data."""

import io
import struct

import numpy as np


def idx(x, code=0x08):
    """An IDX file that holds ``x``."""
    header = bytes([0, 0, code, x.ndim]) + struct.pack(f">{x.ndim}I", *x.shape)
    return header + x.astype(x.dtype.newbyteorder(">")).tobytes()


def npy_header(shape):
    """What comes before the bytes of an array in an ``.npy`` file."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    return file.getvalue()
